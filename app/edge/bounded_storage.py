"""A rate limit storage for slowapi: fixed windows in memory, for a bounded number of keys."""

import time
from typing import Any, Final

from cachetools import TLRUCache
from limits.storage import Storage

MOST_KEYS: Final = 50_000
"""Keys stored at most: about 30 MB."""


class BoundedStorage(Storage):
    """Fixed windows of recently counted keys, at most MOST_KEYS. Each window is a list of its count and its end.

    The memory storage of `limits` keeps every key, 400 bytes each, until its window ends. A flood from a million
    addresses would use 400 MB; from IPv6 addresses, which count in three buckets, three times as much. For every
    request it also starts a thread that scans all keys.

    A client with more addresses than MOST_KEYS is not stopped here. The exact quotas of the outbox remain.
    Windows follow the monotonic clock, so changing the system's clock neither ends nor extends them.
    """

    STORAGE_SCHEME = ["bounded"]  # noqa: RUF012  the base class wants a list of URI schemes
    URI = "bounded://"
    base_exceptions = ConnectionError

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._windows: TLRUCache[str, list[float]] = TLRUCache(MOST_KEYS, lambda _key, window, _now: window[1])

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a key's count and return it. Its first request starts a window of `expiry` seconds."""
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = [0, time.monotonic() + expiry]
        window[0] += amount
        return int(window[0])

    def get(self, key: str) -> int:
        """Return the count of a key in its current window, 0 without one."""
        return int(self._windows.get(key, (0,))[0])

    def get_expiry(self, key: str) -> float:
        """Return the end of a key's window in Unix seconds, or the current time without a window."""
        now = time.monotonic()
        return time.time() + self._windows.get(key, (0, now))[1] - now

    def check(self) -> bool:
        """Return True: the storage is always healthy."""
        return True

    def reset(self) -> int:
        """Remove all windows and return their number."""
        size = len(self._windows)
        self._windows.clear()
        return size

    def clear(self, key: str) -> None:
        """Remove the window of a key."""
        self._windows.pop(key, None)
