"""How hard the challenge is: about nothing for an ordinary visitor, seconds for a flood; it falls by itself."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from app.edge.bounded_dict import GenerationalDict
from app.net.client_address import Bucket

HALF_LIFE: Final = 120.0
"""Seconds after which what was seen counts half."""
# What may be seen at one time without any effect. A carrier puts fifty honest people behind one address.
_FREE_PER_BUCKET = 30
_FREE_PER_SITE = 300
# How much of what a bucket did lately counts for its site, so that a flood is one only if it comes from many networks.
_OF_BUCKET = 10
# What a stranger does to a site makes every visitor of it pay, so that price has a lower ceiling.
_MOST_BY_SITE = 25.0
MOST: Final = 200.0
"""The highest multiple."""
_MOST_KEYS = 50_000
_KEPT = 10 * HALF_LIFE  # a thousandth is left then


class AdaptiveDifficulty:
    """Counts the challenges given, by site and by client bucket, in memory, each counting half after HALF_LIFE.

    For its site a bucket counts ten at the most at one time, times its weight, whatever it was given beyond.
    Every process counts for itself: what a flood pays on three replicas is a third, the caps of the outbox are exact.
    ``clock`` gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: GenerationalDict[tuple[float, float]] = GenerationalDict(_MOST_KEYS, clock)

    def next(self, site: str, buckets: Sequence[Bucket]) -> float:
        """Count one challenge and give its difficulty, a multiple of the ordinary one from 1 to MOST."""
        now = self._clock()
        counts = [(self._count(bucket.key, now), bucket.weight) for bucket in buckets]
        by_bucket = max(count / (_FREE_PER_BUCKET * weight) for count, weight in counts)
        # Else few networks, each within its flood limit, would raise the price for every newcomer.
        is_new = all(count <= _OF_BUCKET * weight for count, weight in counts)
        by_site = self._count(f"site {site}", now, 1 if is_new else 0) / _FREE_PER_SITE
        return min(MOST, max(1.0, min(by_site, _MOST_BY_SITE)) * max(1.0, by_bucket))

    def is_elevated(self, buckets: Sequence[Bucket]) -> bool:
        """Tell whether more comes from a visitor's network than costs nothing."""
        now = self._clock()
        return any(self._now(bucket.key, now) > _FREE_PER_BUCKET * bucket.weight for bucket in buckets)

    def _now(self, key: str, now: float) -> float:
        count, then = self._seen.get(key, (0.0, now))
        return count * math.exp2((then - now) / HALF_LIFE)

    def _count(self, key: str, now: float, one: int = 1) -> float:
        count = one + self._now(key, now)
        self._seen.set(key, (count, now), _KEPT)
        return count
