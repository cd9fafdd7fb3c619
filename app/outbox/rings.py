"""Rings: when a phone rings or may ring, and whether one more ring exceeds a limit. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from limits import RateLimitItem


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` events in any `window`, which is half open: events exactly one window apart are not both in it.

    `text` is the limit as the settings have it.
    """

    amount: int
    window: timedelta
    text: str


Limits = tuple[Limit, ...]
"""Several limits that hold together, the one with the longest window last."""


def limits_of(items: Iterable[RateLimitItem]) -> Limits:
    """Return the limits of a setting."""
    limits = (Limit(item.amount, timedelta(seconds=item.get_expiry()), str(item)) for item in items)
    return tuple(sorted(limits, key=lambda limit: limit.window))


PLAN_MARGIN: Final = timedelta(seconds=30)
"""A planned time nearer than this is not sent: by Chaser's clock, and after the transfer, it may be in the past."""


def wanted_time(planned_time: datetime | None, now: datetime) -> datetime:
    """Return the moment for which a call sent now is wanted: its planned time, or now if that is near or past."""
    return planned_time if planned_time is not None and planned_time > now + PLAN_MARGIN else now


@dataclass(frozen=True, slots=True)
class Ring:
    """A call's moment at the visitor's phone. All times are aware.

    `at` is the earliest moment the phone may ring, for a lead the moment it is sent. `until` is the last moment, later
    than `at` where only Chaser knows the time. `certain` is whether `at` may be promised. `rings` is False for a lead,
    which rings nobody.
    """

    at: datetime
    until: datetime
    certain: bool = True
    rings: bool = True

    @property
    def promise(self) -> datetime | None:
        """Return the time that a visitor may be told; None if none can be promised."""
        return self.at if self.certain and self.rings else None


def exceeds(rings: Iterable[Ring], new: Ring, amount: int, window: timedelta) -> bool:
    """Return whether any window that contains a new ring would contain more than `amount` rings.

    A ring with an `until` counts in each window that it touches.
    """
    all_rings = [*rings, new]
    # The fullest window may begin where a ring in it ends: a later start would lose that ring, an earlier one gains
    # nothing.
    starts = {ring.until for ring in all_rings if new.at - window < ring.until <= new.until}
    return any(sum(ring.at < start + window and ring.until >= start for ring in all_rings) > amount for start in starts)


def exceeds_at(times: Sequence[datetime], new: datetime, amount: int, window: timedelta) -> bool:
    """Return whether any window that contains a new ring would contain more than `amount` rings, all certain.

    `times` are those of the other rings, in ascending order. Does the same as `exceeds`, for hundreds of rings.
    """
    first = bisect_right(times, new - window)
    near = [*times[first : bisect_left(times, new + window)], new]
    near.sort()
    # More than `amount` rings in a window: a ring and the one `amount` places later are less than the window apart.
    return any(later - earlier < window for earlier, later in zip(near, near[amount:], strict=False))


def exceeds_any(rings: Sequence[Ring], new: Ring, limits: Limits) -> bool:
    """Return whether a new ring exceeds one of several limits."""
    return any(exceeds(rings, new, limit.amount, limit.window) for limit in limits)
