"""Random bytes that nobody can guess, fetched from the system in stocks."""

import os

_STOCK = 256
_stock: list[bytes] = []
os.register_at_fork(after_in_child=_stock.clear)


def random_bytes() -> bytes:
    """Give 16 bytes. Each call of the system hands the interpreter to another thread, and waits to get it back."""
    try:
        return _stock.pop()
    except IndexError:
        fetched = os.urandom(16 * (_STOCK + 1))
        _stock.extend(fetched[at : at + 16] for at in range(16, len(fetched), 16))
        return fetched[:16]
