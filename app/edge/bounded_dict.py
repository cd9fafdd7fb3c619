"""What was lately put down under a key: as much as it may take, and no more."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class GenerationalDict(Generic[V]):
    """Values by key, in two generations of at most half of ``most``. What is set goes into the newer one.

    When that is full, or older than what is kept, the older one is forgotten, as a whole: so its memory goes back.
    Hence a value is kept for at least the seconds it asks for, unless half of ``most`` other keys come meanwhile.
    ``clock`` gives seconds that never go back.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._half = most // 2
        self._clock = clock
        self._new: dict[str, V] = {}
        self._old: dict[str, V] = {}
        self._turned = clock()
        self._longest = 0.0

    def get(self, key: str, default: V) -> V:
        """Give the value of a key, or the other one where there is none."""
        return self._new.get(key, self._old.get(key, default))

    def set(self, key: str, value: V, seconds: float) -> None:
        """Keep a value for at least so many seconds."""
        now = self._clock()
        self._longest = max(self._longest, seconds)
        if len(self._new) >= self._half or now - self._turned > self._longest:
            self._old, self._new, self._turned = self._new, {}, now
        self._new[key] = value

    def remove(self, key: str) -> None:
        """Forget a key."""
        self._new.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> int:
        """Forget all, and give how many they were."""
        size = len(self._new | self._old)
        self._new, self._old = {}, {}
        return size
