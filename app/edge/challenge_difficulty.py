"""Adaptive difficulty of the challenge: negligible for an ordinary visitor, seconds of work per request for a flood.

It falls again by itself when the flood ends.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from cachetools import TTLCache

from app.net.client_address import Bucket

HALF_LIFE: Final = 120.0
"""Seconds after which an issued challenge counts half."""
# Counts that raise nothing. A mobile carrier puts fifty honest visitors behind one address.
_FREE_PER_BUCKET = 30
_FREE_PER_SITE = 300
# Recent challenges of one bucket that count for its site. Otherwise one network could raise it for every visitor.
_OF_BUCKET = 10
# The site's multiple applies to every visitor, so its maximum is lower.
_MOST_BY_SITE = 25.0
MOST: Final = 200.0
"""The highest multiple."""
_MOST_KEYS = 50_000
_LIFETIME = 10 * HALF_LIFE  # seconds; a thousandth of the count is left then


class AdaptiveDifficulty:
    """Counts issued challenges per site and per client bucket, in memory, with exponential decay (HALF_LIFE).

    A bucket adds at most ten, times its weight, to the count of its site.
    Every process counts alone: a flood spread over three replicas meets a third. The quotas of the outbox are exact.
    `clock` returns seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: TTLCache[str, tuple[float, float]] = TTLCache(_MOST_KEYS, _LIFETIME, clock)

    def next(self, site: str, buckets: Sequence[Bucket]) -> float:
        """Count one challenge and return its difficulty: a multiple of the ordinary one, from 1 to MOST."""
        now = self._clock()
        counts = [(self._increment(bucket.key, now), bucket.weight) for bucket in buckets]
        by_bucket = max(count / (_FREE_PER_BUCKET * weight) for count, weight in counts)
        # Otherwise a few networks, each within its rate limit, would raise the difficulty for every new visitor.
        counts_for_site = all(count <= _OF_BUCKET * weight for count, weight in counts)
        by_site = self._increment(f"site {site}", now, 1 if counts_for_site else 0) / _FREE_PER_SITE
        return min(MOST, max(1.0, min(by_site, _MOST_BY_SITE)) * max(1.0, by_bucket))

    def is_elevated(self, buckets: Sequence[Bucket]) -> bool:
        """Return whether a visitor's network fetches more challenges than are free."""
        now = self._clock()
        return any(self._count(bucket.key, now) > _FREE_PER_BUCKET * bucket.weight for bucket in buckets)

    def _count(self, key: str, now: float) -> float:
        count, then = self._counts.get(key, (0.0, now))
        return count * math.exp2((then - now) / HALF_LIFE)

    def _increment(self, key: str, now: float, amount: int = 1) -> float:
        count = amount + self._count(key, now)
        self._counts[key] = (count, now)
        return count
