"""Copy all tables into another database: SQLite to PostgreSQL, or back. No service runs on either meanwhile.

Each batch of rows of the source is compared with the target, and only differences are written. So an interrupted copy
can be continued even after changes at the source, and a complete one changes nothing. At any time at most one of the
two databases lets a service start: see `handover`.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, select, text, tuple_
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from app.outbox.database import DatabaseError, driver_message, open_database
from app.outbox.handover import Role, hold, let_go, mark, mark_of, unmark
from app.outbox.migrate import migrate
from app.outbox.schema import metadata, writers
from app.outbox.transitions import continue_ids
from app.outbox.upsert import insert

_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
LOOKS, _PAUSE = 20, 0.05  # pg_stat_activity still lists a connection for a moment after it closed; seconds

Tell = Callable[[str, int, int], None]
"""Progress callback. Its arguments are a table's name, the number of rows copied, and the total number of rows."""
_Key = tuple[Any, ...]
_TABLES = [table for table in metadata.sorted_tables if table is not writers]  # markers of processes that have ended


class NotCopied(Exception):
    """The copy was refused or is incomplete. The text names the reason and the fix."""


@dataclass(frozen=True, slots=True)
class Sum:
    """The contents of a table: its number of rows, and a checksum that doesn't depend on their order."""

    rows: int
    checksum: str


def copy_database(source_url: str, target_url: str, tell: Tell, *, batch: int = 1000) -> dict[str, Sum]:
    """Copy all tables, verify the copy, and hand over to the target.

    `tell` is called after each batch. `batch` is the number of rows read and committed at a time. Returns the number of
    rows and the checksum of each table, read from the target. The source is marked as moved, so that no service starts
    on it again.

    Raises `DatabaseError` if a database can't be opened, and `NotCopied`.
    """
    names = public_name(source_url), public_name(target_url)
    try:
        with (
            _opened(source_url, names[0], "DATABASE_URL") as source,
            _opened(target_url, names[1], "--to") as target,
        ):
            _begin(source, target, *names)
            expected = {table: _copy_table(source, target, table, tell, batch) for table in _TABLES}
            copied = {table: _sum_of(target, table, batch) for table in _TABLES}
            different = [table.name for table in expected if expected[table] != copied[table]]
            if different:
                raise NotCopied(f"--to: after the copy {', '.join(different)} differ: run the command again")
            # Clients that were disconnected at the start may have reconnected.
            _alone(source, names[0])
            _alone(target, names[1])
            continue_ids(target)
            _hand_over(source, target, names[1])
    except DBAPIError as error:
        raise NotCopied(f"--to: a database refused ({driver_message(error)}): fix that, then run it again") from None
    return {table.name: total for table, total in copied.items()}


def public_name(url: str) -> str:
    """Return a database's URL without secrets, for messages, marks and comparisons."""
    known = make_url(url).set(password=None, query={})
    if known.get_backend_name() == "sqlite":
        known = known.set(database=str(Path(known.database or "").absolute()))  # independent of the working directory
    return known.render_as_string().replace("+psycopg", "")


@contextmanager
def _opened(url: str, name: str, given_by: str) -> Iterator[Connection]:
    """Open a database with one locked connection. No service can work on it until the context exits."""
    with _naming(given_by):
        database = open_database(url)
    try:
        with _naming(given_by):
            migrate(database.writing)
        with database.writing.connect() as connection:
            with connection.begin():
                if not hold(connection):
                    raise NotCopied(
                        f"{name} is being copied, or a service is starting on it: wait for its end, or stop it"
                    )
            try:
                _alone(connection, name)
                yield connection
            finally:
                with suppress(DBAPIError), connection.begin():  # a lost connection holds no lock
                    let_go(connection)
    finally:
        database.close()


@contextmanager
def _naming(given_by: str) -> Iterator[None]:
    """Replace `DATABASE_URL` in errors by the name of the setting or option that held the URL."""
    try:
        yield
    except DatabaseError as unusable:
        raise DatabaseError(str(unusable).replace("DATABASE_URL", given_by, 1)) from None


def _alone(connection: Connection, name: str) -> None:
    """Raise `NotCopied` if other clients are connected to a PostgreSQL database. SQLite has its process lock."""
    if connection.dialect.name != "postgresql":
        return
    others = 0
    for _ in range(LOOKS):
        with connection.begin():
            others = connection.execute(_OTHERS).scalar_one()
        if not others:
            return
        time.sleep(_PAUSE)
    raise NotCopied(
        f"{name} has {others} other connections of the same user: stop the service, and whatever else uses "
        "the database, then run it again"
    )


def _begin(source: Connection, target: Connection, from_: str, to: str) -> None:
    """Mark the target as an incomplete copy, unless it is one already. Raises `NotCopied` if it can't become one."""
    with source.begin():
        match mark_of(source):
            case Role.HALF, other:
                raise NotCopied(f"{from_} is itself half a copy, of {other}: complete that first, from there")
            case Role.AWAY, other if other != to:
                raise NotCopied(f"{from_} was moved to {other}: copy from there")
            case moved:
                pass
    with target.begin():
        match mark_of(target):
            case Role.HALF, other if other == from_:
                return
            case None if moved:
                raise NotCopied(f"{from_} was moved to {to} already: set DATABASE_URL to that one")
            case None if all(_count(target, table) == 0 for table in _TABLES):
                mark(target, Role.HALF, from_)
            case _:
                raise NotCopied(f"--to: {to} is not empty and no copy of {from_}: give a new, empty database")


def _hand_over(source: Connection, target: Connection, to: str) -> None:
    # In this order: if it is interrupted in between, neither database starts a service, and the next run finishes.
    with source.begin():
        if mark_of(source) is None:
            mark(source, Role.AWAY, to)
    with target.begin():
        unmark(target)


def _copy_table(source: Connection, target: Connection, table: Table, tell: Tell, batch: int) -> Sum:
    with source.begin():
        total = _count(source, table)
    done = checksum = 0
    for rows in _batches(source, table, batch):
        keys = [_key(table, row) for row in rows]
        with target.begin():
            existing = {_key(table, row): row for row in target.execute(select(table).where(_among(table, keys)))}
            changed = [row._asdict() for row, key in zip(rows, keys, strict=True) if existing.get(key) != row]
            if changed:
                statement = insert(target, table)
                others = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
                target.execute(statement.on_conflict_do_update(index_elements=table.primary_key, set_=others), changed)
        done += len(rows)
        checksum += sum(map(_number, rows))
        tell(table.name, done, total)
    _remove_strays(source, target, table, batch)
    return _sum(done, checksum)


def _remove_strays(source: Connection, target: Connection, table: Table, batch: int) -> None:
    """Delete rows of the target that were copied by an interrupted run and have since left the source."""
    with source.begin(), target.begin():
        if _count(source, table) == _count(target, table):
            return
    for rows in _batches(target, table, batch):
        keys = [_key(table, row) for row in rows]
        with source.begin():
            kept = {tuple(row) for row in source.execute(select(*table.primary_key).where(_among(table, keys)))}
        with target.begin():
            target.execute(delete(table).where(_among(table, [key for key in keys if key not in kept])))


def _batches(connection: Connection, table: Table, batch: int) -> Iterator[Sequence[Row[Any]]]:
    """Yield all rows in the order of their primary keys, as the database's own collation sorts them."""
    columns = tuple_(*table.primary_key)
    rest = select(table).order_by(*table.primary_key).limit(batch)
    with connection.begin():
        rows = connection.execute(rest).all()
    while rows:
        yield rows
        with connection.begin():
            rows = connection.execute(rest.where(columns > tuple_(*_key(table, rows[-1])))).all()


def _sum_of(connection: Connection, table: Table, batch: int) -> Sum:
    rows = checksum = 0
    for some in _batches(connection, table, batch):
        rows += len(some)
        checksum += sum(map(_number, some))
    return _sum(rows, checksum)


def _sum(rows: int, checksum: int) -> Sum:
    return Sum(rows, f"{checksum % 2**128:032x}")


def _number(row: Row[Any]) -> int:
    """Return a 128-bit hash of a row, the same on every database."""
    values = [json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value for value in row]
    return int.from_bytes(hashlib.blake2b(repr(values).encode(), digest_size=16).digest())


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _key(table: Table, row: Row[Any]) -> _Key:
    return tuple(row._mapping[column.name] for column in table.primary_key)  # public API, despite its name


def _among(table: Table, keys: Sequence[_Key]) -> Any:
    return tuple_(*table.primary_key).in_(keys)
