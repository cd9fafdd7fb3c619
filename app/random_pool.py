"""Cryptographically secure random bytes, read from the operating system in batches."""

import os

_POOL_SIZE = 256
_pool: list[bytes] = []
# Otherwise a forked process would return the same bytes as its parent.
os.register_at_fork(after_in_child=_pool.clear)


def random_bytes() -> bytes:
    """Return 16 random bytes.

    They come from a pool: each call of `os.urandom` releases the GIL, and waits to acquire it again.
    """
    try:
        return _pool.pop()
    except IndexError:
        batch = os.urandom(16 * (_POOL_SIZE + 1))
        _pool.extend(batch[start : start + 16] for start in range(16, len(batch), 16))
        return batch[:16]
