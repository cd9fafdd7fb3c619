"""The offset of our clock from Chaser's, measured by the Date headers of its responses. Pure: no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

MAX_OFFSET: Final = 30.0
"""Seconds of offset that do no harm: calls are planned by the minute."""
_FIX = (
    "working hours, planned times and the dates of consents depend on this clock: synchronize it with a time server "
    "(NTP)"
)


@dataclass(frozen=True, slots=True)
class DateSample:
    """The Date header of a response, with our unix seconds before the request and after the response's headers."""

    header: str
    sent: float
    received: float


def clock_offset(sample: DateSample) -> float | None:
    """Return the smallest offset of our clock, in seconds, that the sample proves.

    Positive if our clock is ahead, negative if it is behind; None if the header is not a date. The server generated
    the date between `sent` and `received`, in whole seconds (RFC 9110, section 6.6.1).
    """
    try:
        parsed = parsedate_to_datetime(sample.header)
    except ValueError:
        return None
    server_time = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    if sample.sent > server_time + 1:
        return sample.sent - server_time - 1
    return min(0.0, sample.received - server_time)


def check_clock(samples: Sequence[DateSample]) -> tuple[Literal["ok", "note", "fault"], str, str]:
    """Return verdict, subject and message on our clock; the sample with the smallest offset decides."""
    offsets = [offset for sample in samples if (offset := clock_offset(sample)) is not None]
    if not offsets:
        return (
            "note",
            "clock",
            "Chaser's answers have no date to compare with: check that NTP sets this machine's clock",
        )
    offset = min(offsets, key=abs)
    if abs(offset) <= MAX_OFFSET:
        return "ok", "clock", f"within {max(1, round(abs(offset)))} s of Chaser's"
    side = "ahead of" if offset > 0 else "behind"
    return "fault", "clock", f"{abs(offset):.0f} s {side} Chaser's: {_FIX}"
