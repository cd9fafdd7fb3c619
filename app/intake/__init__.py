"""Intake: what is asked? From the body of a request to one immutable callback."""
