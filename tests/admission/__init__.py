"""Tests of admission: which requests are accepted, held, merged or refused, and when a phone rings."""
