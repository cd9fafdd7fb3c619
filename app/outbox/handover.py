"""Mark a database as moved to another one, and lock both during the copy, so that no two services use two copies.

The mark is a table outside the schema, which exists only in a marked database.
"""

from contextlib import ExitStack

from sqlalchemy import Column, Connection, MetaData, Row, String, Table, Text, inspect, select, text

from app.outbox.database import Database, DatabaseError, open_database
from app.outbox.migrate import migrate

_LOCK = 0x4D4F5645
# `role` is "away". Versions before 0.2.0 copied in steps, and marked a target as "half" until it was complete.
_marks = Table("moved", MetaData(), Column("role", String(8), nullable=False), Column("other", Text, nullable=False))


def mark_of(connection: Connection) -> Row[str, str] | None:
    """Return the `role` of a database and the URL of the `other` one, None for an unmarked database."""
    return connection.execute(select(_marks)).one() if inspect(connection).has_table(_marks.name) else None


def mark_moved(connection: Connection, other: str) -> None:
    """Mark an unmarked database as moved. `other` is the other database's URL without its password."""
    _marks.create(connection)
    connection.execute(_marks.insert().values(role="away", other=other))


def lock_for_copy(connection: Connection) -> bool:
    """Lock a PostgreSQL database against starting services until the end of the transaction.

    Returns False if a service is starting, or another copy runs. SQLite has its process lock for this.
    """
    return _try_lock(connection, "pg_try_advisory_xact_lock")


def open_migrated(url: str) -> Database:
    """Open a database and migrate it. Raises `DatabaseError`."""
    with ExitStack() as on_error:
        database = open_database(url)
        on_error.callback(database.close)
        migrate(database.writing)
        on_error.pop_all()
    return database


def open_to_work(url: str) -> Database:
    """Open a database for a service, and migrate it. Raises `DatabaseError`, also for a moved or locked one."""
    with ExitStack() as on_error:
        database = open_migrated(url)
        on_error.callback(database.close)
        with database.writing.begin() as connection:
            if not _try_lock(connection, "pg_try_advisory_xact_lock_shared"):
                raise DatabaseError("DATABASE_URL: the database is just being copied: start once that has ended")
            if why := why_unusable(connection):
                raise DatabaseError(why)
        on_error.pop_all()
    return database


def why_unusable(connection: Connection) -> str | None:
    """Return why no service may use a marked database, and the fix; None for an unmarked one."""
    mark = mark_of(connection)
    if mark is None:
        return None
    if mark.role == "half":
        return f"DATABASE_URL: this is half a copy of {mark.other}: copy that into a new, empty database"
    return (
        f"DATABASE_URL: this database was moved to {mark.other}: set DATABASE_URL to that one. If `db copy` was killed "
        "before it said so, run it again. Only if no service has ever started there: drop the table `moved` here to "
        "go on with this one"
    )


def _try_lock(connection: Connection, function: str) -> bool:
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.scalar(text(f"SELECT {function}(:key)"), {"key": _LOCK}))
