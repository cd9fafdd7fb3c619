"""Mark a database as incomplete copy or as moved away, so that no two services use two copies.

The mark is a table outside the schema, which exists only in a marked database.
"""

from enum import StrEnum

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, inspect, select, text

from app.outbox.database import Database, DatabaseError, open_database
from app.outbox.migrate import migrate

_LOCK = 0x4D4F5645
_marks = Table("moved", MetaData(), Column("role", String(8), nullable=False), Column("other", Text, nullable=False))


class Role(StrEnum):
    """The state of a marked database: `half` is an incomplete copy, `away` was moved to another database."""

    HALF = "half"
    AWAY = "away"


def mark_of(connection: Connection) -> tuple[Role, str] | None:
    """Return the mark and the URL of the other database, None for an unmarked database."""
    if not inspect(connection).has_table(_marks.name):
        return None
    row = connection.execute(select(_marks)).one()
    return Role(row.role), row.other


def mark(connection: Connection, role: Role, other: str) -> None:
    """Mark a database. `other` is the other database's URL without its password."""
    _marks.create(connection)
    connection.execute(_marks.insert().values(role=role, other=other))


def unmark(connection: Connection) -> None:
    """Remove the mark."""
    _marks.drop(connection)


def hold(connection: Connection) -> bool:
    """Lock a PostgreSQL database against starting services, until the connection ends or `let_go` is called.

    Returns False if it is locked already. SQLite has its process lock for this, so there it does nothing.
    """
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar_one())


def let_go(connection: Connection) -> None:
    """Release the lock of `hold` now: PostgreSQL releases it only some time after the connection has closed."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})


def open_to_work(url: str) -> Database:
    """Open a database for a service, and migrate it. Raises `DatabaseError`, also for a marked or locked one."""
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
    """Return why no service may use a marked database, and the fix; None for an unmarked one."""
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
    """Raise `DatabaseError`, with the fix, if a service must not start on this database."""
    if connection.dialect.name == "postgresql":
        held = text("SELECT pg_try_advisory_xact_lock_shared(:key)")
        if not connection.execute(held, {"key": _LOCK}).scalar_one():
            raise DatabaseError("DATABASE_URL: the database is just being copied: start once that has ended")
    if why := why_unusable(connection):
        raise DatabaseError(why)
