"""How far our clock is from Chaser's, as far as an HTTP date can tell. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

ALLOWED: Final = 30.0
"""Seconds of difference that do no harm: people plan by the minute."""
_WHY = (
    "opening hours, the times that can be planned, and the dates of consents go by ours: let the machine set its clock "
    "(NTP)"
)


@dataclass(frozen=True, slots=True)
class Dated:
    """The Date header of an answer, and our unix seconds before the request and after the answer's head."""

    header: str
    sent: float
    received: float


def ahead(dated: Dated) -> float | None:
    """Give the seconds by which our clock is ahead for certain, negative behind; None when the header is no date.

    The answer was dated between our two moments, in whole seconds (RFC 9110, section 6.6.1).
    """
    try:
        told = parsedate_to_datetime(dated.header)
    except ValueError:
        return None
    theirs = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    if dated.sent > theirs + 1:
        return dated.sent - theirs - 1
    return min(0.0, dated.received - theirs)


def clock_line(dates: Sequence[Dated]) -> tuple[Literal["ok", "note", "fault"], str, str]:
    """Say what the dates of Chaser's answers tell of our clock: verdict, subject, words."""
    found = [difference for dated in dates if (difference := ahead(dated)) is not None]
    if not found:
        return "note", "clock", "Chaser told no time to compare ours with: see that the machine sets its clock (NTP)"
    difference = min(found, key=abs)
    if abs(difference) <= ALLOWED:
        return "ok", "clock", f"within {max(1, round(abs(difference)))} s of Chaser's"
    side = "ahead of" if difference > 0 else "behind"
    return "fault", "clock", f"{abs(difference):.0f} s {side} Chaser's: {_WHY}"
