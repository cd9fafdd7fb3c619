"""What makes a request look as if nobody had typed it. It is held, never dropped: a person may be behind it. Pure."""

from datetime import timedelta
from typing import Final

LEAST_TIME: Final = timedelta(seconds=1.5)
"""From the challenge to the request. The widget waits for two, since the clocks of replicas may differ a little."""


def hold_reason(*, honeypot: str | None, age: timedelta | None, phone_certain: bool, elevated: bool) -> str | None:
    """Give the stable code of a reason to hold a visitor's request, or None.

    ``trap``: what stands in the field that people don't see; a browser's autofill may have filled it for a real one.
    ``age``: of the challenge, None where there is none. ``phone_certain``: False when the number is possible but in no
    numbering plan. ``elevated``: much more than usual came from the visitor's network in the last minutes.
    """
    if honeypot:
        return "honeypot"
    if age is not None and age < LEAST_TIME:
        return "sent_too_fast"
    if not phone_certain and elevated:
        return "suspicious_network"
    return None
