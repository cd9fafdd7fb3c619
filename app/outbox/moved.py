"""The mark of a database that is being copied or was moved away, so that no service ever works on two copies.

It is a table of its own, outside the schema: it is there only while it has something to say.
"""

from enum import StrEnum

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, inspect, select, text

from app.outbox.database import Database, DatabaseError, open_database
from app.outbox.migrate import migrate

_LOCK = 0x4D4F5645
_marks = Table("moved", MetaData(), Column("role", String(8), nullable=False), Column("other", Text, nullable=False))


class Role(StrEnum):
    """What a marked database is: ``half``, a copy that isn't complete; or ``away``, complete elsewhere."""

    HALF = "half"
    AWAY = "away"


def mark_of(connection: Connection) -> tuple[Role, str] | None:
    """Give what a database is marked as, and the other database's address; None for most."""
    if not inspect(connection).has_table(_marks.name):
        return None
    row = connection.execute(select(_marks)).one()
    return Role(row.role), row.other


def mark(connection: Connection, role: Role, other: str) -> None:
    """Mark a database, with the address of the other one, which holds no password."""
    _marks.create(connection)
    connection.execute(_marks.insert().values(role=role, other=other))


def unmark(connection: Connection) -> None:
    """Take the mark away."""
    _marks.drop(connection)


def hold(connection: Connection) -> bool:
    """Keep services from starting on a PostgreSQL database for as long as the connection lasts; False: it is held.

    SQLite has its process lock for that.
    """
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar_one())


def let_go(connection: Connection) -> None:
    """End a hold at once: PostgreSQL itself would notice the end of the connection a moment after it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})


def open_to_work(url: str) -> Database:
    """Open a database for a service, with its tables up to date. Raises DatabaseError, also for a marked one."""
    database = open_database(url)
    try:
        migrate(database.writing)
        with database.writing.begin() as connection:
            _refuse_moved(connection)
    except BaseException:
        database.close()
        raise
    return database


def why_unusable(connection: Connection) -> str | None:
    """Tell why no service may work on a marked database, with the cure; None for one without a mark."""
    match mark_of(connection):
        case Role.HALF, other:
            return f"DATABASE_URL: this is half a copy of {other}: complete it: run `chaser-callback db copy` there"
        case Role.AWAY, other:
            return (
                f"DATABASE_URL: this database was moved to {other}: set DATABASE_URL to that one. Only if no "
                "service has ever started there: drop the table `moved` here to go on with this one"
            )
    return None


def _refuse_moved(connection: Connection) -> None:
    """Raise DatabaseError, with the cure, where a service must not start."""
    if connection.dialect.name == "postgresql":
        held = text("SELECT pg_try_advisory_xact_lock_shared(:key)")
        if not connection.execute(held, {"key": _LOCK}).scalar_one():
            raise DatabaseError("DATABASE_URL: the database is just being copied: start once that has ended")
    if why := why_unusable(connection):
        raise DatabaseError(why)
