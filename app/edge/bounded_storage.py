"""BoundedStorage in memory for slowapi: as many as it may take, and no more."""

import time
from typing import Any, Final

from limits.storage import Storage

from app.edge.bounded_dict import GenerationalDict

MOST_KEYS: Final = 50_000
"""About 20 MB."""
_NONE = (0, 0.0)


class BoundedStorage(Storage):
    """Fixed windows of the keys that were counted lately, at most MOST_KEYS; each holds its count and its end.

    The memory storage of `limits` keeps every key until its window ends, 400 bytes of each: a flood from a million
    addresses would take 400 MB, one of IPv6 three times as much. It also looks through all of them, in a thread that it
    starts for every request. Whoever has more addresses than there are keys is not stopped by counting addresses; the
    quotas of the outbox, which are exact, remain.

    A clock that is set back or forth changes nothing here.
    """

    STORAGE_SCHEME = ["bounded"]  # noqa: RUF012  the name of a URI, as the base class wants it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._windows: GenerationalDict[tuple[int, float]] = GenerationalDict(MOST_KEYS)

    @property
    def base_exceptions(self) -> type[Exception]:
        """Give what can go wrong with a store: nothing here."""
        return ConnectionError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to the count of a key, whose window of `expiry` seconds begins with its first; give the count."""
        now = time.monotonic()
        count, ends = self._windows.get(key, _NONE)
        if ends <= now:
            count, ends = 0, now + expiry
        self._windows.set(key, (count + amount, ends), expiry)
        return count + amount

    def get(self, key: str) -> int:
        """Give the count of a key in its present window."""
        count, ends = self._windows.get(key, _NONE)
        return count if ends > time.monotonic() else 0

    def get_expiry(self, key: str) -> float:
        """Give the end of a key's window, in seconds since 1970; the present time where there is none."""
        _, ends = self._windows.get(key, _NONE)
        return time.time() + max(0.0, ends - time.monotonic())

    def check(self) -> bool:
        """Tell that it works."""
        return True

    def reset(self) -> int:
        """Forget all, and give how many they were."""
        return self._windows.clear()

    def clear(self, key: str) -> None:
        """Forget a key."""
        self._windows.remove(key)
