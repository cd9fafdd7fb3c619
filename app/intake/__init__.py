"""Intake: validate, normalise and enrich the body of a request into one immutable callback. Pure, no I/O."""
