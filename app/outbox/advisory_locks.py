"""Advisory locks on PostgreSQL of values that two replicas may decide on at the same moment, such as a phone.

Each value has a stripe, a number of 31 bits, in one namespace. All stripes of a transaction are locked by one statement
before its first read, in ascending order: two transactions can't deadlock. They are released at its end. SQLite needs
none, because only one process uses it.
"""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

from sqlalchemy import Connection, Integer, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.outbox.bulk import is_postgresql

_NAMESPACE: Final = 0x43484153
_LOCK: Final = text(f"SELECT pg_advisory_xact_lock({_NAMESPACE}, stripe) FROM unnest(:stripes) AS stripe").bindparams(
    bindparam("stripes", type_=ARRAY(Integer))
)

_TRY: Final = text(
    f"SELECT stripe, pg_try_advisory_xact_lock({_NAMESPACE}, stripe) FROM unnest(:stripes) AS stripe"
).bindparams(bindparam("stripes", type_=ARRAY(Integer)))


def lock(connection: Connection, names: Iterable[str]) -> None:
    """Lock the stripes of names until the end of the transaction. Call it before any other statement."""
    if is_postgresql(connection):
        connection.execute(_LOCK, {"stripes": sorted({_stripe(name) for name in names})}).all()


def try_lock(connection: Connection, names: Iterable[str]) -> set[str]:
    """Lock the stripes of names that nobody else holds, without waiting; return the names that are locked now.

    So it may come after a lock of rows: it can't be part of a deadlock.
    """
    wanted = set(names)
    if not is_postgresql(connection):
        return wanted
    stripes = {
        stripe for stripe, locked in connection.execute(_TRY, {"stripes": sorted(map(_stripe, wanted))}) if locked
    }
    return {name for name in wanted if _stripe(name) in stripes}


def _stripe(name: str) -> int:
    return crc32(name.encode()) >> 1


def phone_name(phone: str) -> str:
    """Return the name of the lock of a phone, for `lock`: whoever lets it ring once more holds it."""
    return f"phone:{phone}"
