"""The budget of a site: how many phones may ring for it, and how much of that one network may use. Pure."""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from app.admission.admission_request import BudgetUsage
from app.admission.snapshot import RingCount, RingSpot, RingWindow, Snapshot
from app.outbox.rings import Limit, Limits, exceeds_at

ALL: Final = 100
_WARN_AT: Final = (80, ALL)
_NONE: Final = RingCount(0, 0, ())


def share_of_network(limit: Limit) -> int:
    """Return how many rings of a limit one network may use: half, so that it can't close the site for the others."""
    return max(1, limit.amount // 2)


def is_over_budget(spot: RingSpot, snapshot: Snapshot, limits: Limits) -> bool:
    """Return whether a site has no room for one more ring, or no room for one of this network."""
    networks = {None, spot.network}
    return any(_exceeds(spot, snapshot, network, limit) for limit in limits for network in networks)


def budget_usage(spot: RingSpot, snapshot: Snapshot, limits: Limits, now: datetime) -> tuple[BudgetUsage, ...]:
    """Return the percentages, of those worth a warning, of a site's limits that are used with a ring of this spot."""
    return tuple(_usage(spot, snapshot, limits, now))


def _usage(spot: RingSpot, snapshot: Snapshot, limits: Limits, now: datetime) -> Iterator[BudgetUsage]:
    for limit in limits:
        stored, new = _rings(spot, snapshot, None, limit)
        used = stored.before + sum(at <= spot.at for at in new) + 1
        for percent in _WARN_AT:
            if used >= math.ceil(limit.amount * percent / 100):
                yield BudgetUsage(spot.site, limit, percent, now)


def _exceeds(spot: RingSpot, snapshot: Snapshot, network: str | None, limit: Limit) -> bool:
    stored, new = _rings(spot, snapshot, network, limit)
    amount = limit.amount if network is None else share_of_network(limit)
    # Enough for nearly every request: the rings before and after it together leave room.
    if stored.before + stored.after + len(new) < amount or stored.times is None:
        return False
    return exceeds_at(sorted([*stored.times, *new]), spot.at, amount, limit.window)


def _rings(spot: RingSpot, snapshot: Snapshot, network: str | None, limit: Limit) -> tuple[RingCount, list[datetime]]:
    """Return the stored rings less than a window from a spot, and those of this batch."""
    window = RingWindow(spot.site, network, limit.window, snapshot.moment(spot.at))
    new = [at for at in snapshot.new_rings(spot.site, network) if abs(at - spot.at) < limit.window]
    return snapshot.rings.get(window, _NONE), new
