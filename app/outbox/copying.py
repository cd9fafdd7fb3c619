"""Copy all tables into another database: SQLite to PostgreSQL, or back. No service runs on either meanwhile.

It is one transaction of the target: after a kill nothing is there, and the copy is run again. The source is marked as
moved just before that transaction commits. So at any time at most one of the two databases holds the data and lets a
service start. Killed in between, neither does, and the next run copies again.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from app.outbox.database import Database, DatabaseError, driver_message, other_connections
from app.outbox.handover import lock_for_copy, mark_moved, mark_of, open_migrated
from app.outbox.schema import metadata, writers
from app.outbox.transitions import continue_ids

Progress = Callable[[str, int, int], None]
"""Its arguments are a table's name, the number of rows copied, and the total number of rows."""
# Without the markers of processes that have ended.
_TABLES: Final = [table for table in metadata.sorted_tables if table is not writers]
_NO_TIMEOUTS: Final = text(
    "SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)"
)


class NotCopied(Exception):
    """The copy was refused or failed, and nothing was copied. The text names the reason and the fix."""


def copy_database(source_url: str, target_url: str, progress: Progress, *, batch: int = 1000) -> dict[str, int]:
    """Copy all tables, count the rows of the copy, and mark the source as moved. Return the number of rows by table.

    `progress` is called after each batch, of so many rows.

    Raises `DatabaseError` if a database can't be opened, and `NotCopied`.
    """
    from_, to = public_name(source_url), public_name(target_url)
    try:
        with (
            closing(_open(source_url, "DATABASE_URL")) as old,
            closing(_open(target_url, "--to")) as new,
            new.writing.begin() as target,
            old.writing.begin() as source,  # commits first
        ):
            _lock(source, from_)
            _lock(target, to)
            is_marked = _check_marks(source, target, from_, to)
            copied = {table.name: _copy_table(source, target, table, progress, batch) for table in _TABLES}
            continue_ids(target)
            # Clients that were disconnected at the start may have reconnected.
            _require_no_others(source, from_)
            _require_no_others(target, to)
            if not is_marked:
                mark_moved(source, to)
    except DBAPIError as error:
        raise NotCopied(f"--to: a database refused ({driver_message(error)}): fix that, then run it again") from None
    return copied


def public_name(url: str) -> str:
    """Return a database's URL without secrets, for messages, marks and comparisons."""
    known = make_url(url).set(password=None, query={})
    if known.get_backend_name() == "sqlite":
        known = known.set(database=str(Path(known.database or "").absolute()))  # independent of the working directory
    return known.render_as_string().replace("+psycopg", "")


def _open(url: str, given_by: str) -> Database:
    """Open a database. Errors name the setting or option that held the URL."""
    try:
        return open_migrated(url)
    except DatabaseError as unusable:
        raise DatabaseError(str(unusable).replace("DATABASE_URL", given_by, 1)) from None


def _lock(connection: Connection, name: str) -> None:
    """Lock a database until the end of the transaction. Raises `NotCopied` if a service works or starts on it."""
    if connection.dialect.name == "postgresql":
        connection.execute(_NO_TIMEOUTS)
    if not lock_for_copy(connection):
        raise NotCopied(f"{name} is being copied, or a service is starting on it: wait for its end, or stop it")
    _require_no_others(connection, name)


def _require_no_others(connection: Connection, name: str) -> None:
    if others := other_connections(connection):
        raise NotCopied(
            f"{name} has {others} other connections of the same user: stop the service, and whatever else uses "
            "the database, then run it again"
        )


def _check_marks(source: Connection, target: Connection, from_: str, to: str) -> bool:
    """Return whether the source is marked: the last run was killed between the two commits.

    Raises `NotCopied` if the source was moved to another database, or the target is not empty.
    """
    mark = mark_of(source)
    if mark is not None and mark.other != to:
        raise NotCopied(f"{from_} was moved to {mark.other}: copy from there")
    if mark_of(target) is not None or any(_count(target, table) for table in _TABLES):
        if mark is not None:
            raise NotCopied(f"{from_} was moved to {to} already: set DATABASE_URL to that one")
        raise NotCopied(f"--to: {to} is not empty: give a new, empty database")
    return mark is not None


def _copy_table(source: Connection, target: Connection, table: Table, progress: Progress, batch: int) -> int:
    total, done = _count(source, table), 0
    # The driver fetches the rows in batches too: a whole table may not fit in memory.
    with source.execute(select(table), execution_options={"yield_per": batch}) as rows:
        for some in rows.mappings().partitions():
            target.execute(table.insert(), [dict(row) for row in some])
            done += len(some)
            progress(table.name, done, total)
    if (stored := _count(target, table)) != total:
        raise NotCopied(f"--to: {table.name} has {stored} rows after the copy, not {total}: run the command again")
    return total


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()
