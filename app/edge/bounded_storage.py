"""A rate limit storage for slowapi: fixed windows in memory, for a bounded number of keys."""

import time
from typing import Any, Final

from limits.storage import Storage

from app.edge.bounded_dict import GenerationalDict

MOST_KEYS: Final = 50_000
"""Keys stored at most: about 20 MB."""
_NO_WINDOW = (0, 0.0)


class BoundedStorage(Storage):
    """Fixed windows of recently counted keys, at most MOST_KEYS. Each window stores its count and its end.

    The memory storage of `limits` keeps every key, 400 bytes each, until its window ends. A flood from a million
    addresses would use 400 MB; from IPv6 addresses, which count in three buckets, three times as much. For every
    request it also starts a thread that scans all keys.

    A client with more addresses than MOST_KEYS is not stopped here. The exact quotas of the outbox remain.
    Windows follow the monotonic clock, so changing the system's clock neither ends nor extends them.
    """

    STORAGE_SCHEME = ["bounded"]  # noqa: RUF012  the base class wants a list of URI schemes

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._windows: GenerationalDict[tuple[int, float]] = GenerationalDict(MOST_KEYS)

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the exceptions of a storage backend; a storage in memory raises none."""
        return ConnectionError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a key's count and return it. Its first request starts a window of `expiry` seconds."""
        now = time.monotonic()
        count, ends = self._windows.get(key, _NO_WINDOW)
        if ends <= now:
            count, ends = 0, now + expiry
        self._windows.set(key, (count + amount, ends), expiry)
        return count + amount

    def get(self, key: str) -> int:
        """Return the count of a key in its current window, 0 without one."""
        count, ends = self._windows.get(key, _NO_WINDOW)
        return count if ends > time.monotonic() else 0

    def get_expiry(self, key: str) -> float:
        """Return the end of a key's window in Unix seconds, or the current time without a window."""
        _, ends = self._windows.get(key, _NO_WINDOW)
        return time.time() + max(0.0, ends - time.monotonic())

    def check(self) -> bool:
        """Return True: the storage is always healthy."""
        return True

    def reset(self) -> int:
        """Remove all windows and return their number."""
        return self._windows.clear()

    def clear(self, key: str) -> None:
        """Remove the window of a key."""
        self._windows.remove(key)
