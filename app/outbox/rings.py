"""The ring of a callback: the time, or the range of times, at which its phone may ring.

Quotas, duplicates and promises all depend on it, so it is computed in one place: `app/intake/working_hours.py`.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Ring:
    """When the phone of a callback may ring. All times are in UTC.

    `at` is the earliest moment; for a lead, it is the moment at which the lead is sent. `until` is the last moment at
    which it may ring; it equals `at` unless Chaser chooses the time. `certain` is whether a time may be promised: the
    phone rings from `at` on. `rings` is False for a lead, which is an e-mail.
    """

    at: datetime
    until: datetime
    certain: bool
    rings: bool

    @property
    def promise(self) -> datetime | None:
        """The time from which the call is promised; None if no time may be promised."""
        return self.at if self.certain and self.rings else None
