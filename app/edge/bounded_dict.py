"""A dictionary of bounded size and age, for counters that a flood must not let grow."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class GenerationalDict(Generic[V]):
    """Values by key, in two generations of at most half of `max_size` keys each. New values go into the newer one.

    When the newer one is full, or older than the longest lifetime asked for, the older one is dropped as a whole.
    So memory is released, and no operation scans the keys. A value lives for at least its lifetime, unless half of
    `max_size` other keys are set meanwhile. `clock` returns seconds of a monotonic clock.
    """

    def __init__(self, max_size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._half = max_size // 2
        self._clock = clock
        self._new: dict[str, V] = {}
        self._old: dict[str, V] = {}
        self._rotated_at = clock()
        self._longest_lifetime = 0.0

    def get(self, key: str, default: V) -> V:
        """Return the value of a key, or the default for an unknown one."""
        return self._new.get(key, self._old.get(key, default))

    def set(self, key: str, value: V, lifetime: float) -> None:
        """Store a value for at least `lifetime` seconds."""
        now = self._clock()
        self._longest_lifetime = max(self._longest_lifetime, lifetime)
        if len(self._new) >= self._half or now - self._rotated_at > self._longest_lifetime:
            self._old, self._new, self._rotated_at = self._new, {}, now
        self._new[key] = value

    def remove(self, key: str) -> None:
        """Remove a key; an unknown one is ignored."""
        self._new.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> int:
        """Remove all keys and return their number."""
        size = len(self._new | self._old)
        self._new, self._old = {}, {}
        return size
