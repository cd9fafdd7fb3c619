"""Bot detection. A suspicious request is held, never dropped, because a person may have sent it. Pure functions."""

from datetime import timedelta
from typing import Final

LEAST_TIME: Final = timedelta(seconds=1.5)
"""Least time from the challenge to the request. The widget waits two seconds, as replicas' clocks differ a little."""


def hold_reason(*, honeypot: str | None, age: timedelta | None, phone_certain: bool, elevated: bool) -> str | None:
    """Return the stable code of the reason to hold a visitor's request, or None.

    `honeypot` is the value of the invisible field. A browser's autofill may fill it for an honest visitor.
    `age` is the challenge's, None without a challenge. `phone_certain` is False for a possible number outside the
    known ranges. `elevated` means that the visitor's network recently fetched many more challenges than usual.
    """
    if honeypot:
        return "honeypot"
    if age is not None and age < LEAST_TIME:
        return "sent_too_fast"
    if not phone_certain and elevated:
        return "suspicious_network"
    return None
