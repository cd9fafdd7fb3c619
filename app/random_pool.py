"""Random bytes that nobody can guess, fetched from the system in stocks."""

import os

_POOL_SIZE = 256
_pool: list[bytes] = []
os.register_at_fork(after_in_child=_pool.clear)


def random_bytes() -> bytes:
    """Give 16 bytes. Each call of the system hands the interpreter to another thread, and waits to get it back."""
    try:
        return _pool.pop()
    except IndexError:
        fetched = os.urandom(16 * (_POOL_SIZE + 1))
        _pool.extend(fetched[at : at + 16] for at in range(16, len(fetched), 16))
        return fetched[:16]
