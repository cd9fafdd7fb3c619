"""Copying everything into another database: SQLite to PostgreSQL, and back.

No service runs on either meanwhile. A batch of rows is read at the source and compared with what the target has of it,
and what differs is written. So a copy that was interrupted goes on where it was, whatever happened to the source since,
and one that is complete changes nothing. At every moment at most one of the two lets a service start: see moved.py.
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
from app.outbox.migrate import migrate
from app.outbox.moved import Role, hold, let_go, mark, mark_of, unmark
from app.outbox.schema import metadata
from app.outbox.transitions import continue_ids
from app.outbox.upsert import insert

_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
LOOKS, _PAUSE = 20, 0.05  # whose connection has just ended is seen for a moment longer; seconds

Tell = Callable[[str, int, int], None]
"""Is told a table's name, how many of its rows are done, and how many there are."""
_Key = tuple[Any, ...]


class NotCopied(Exception):
    """The copy was not made, or isn't complete; the text names the reason and the cure."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What a table holds: how many rows, and a sum over their contents that doesn't depend on their order."""

    rows: int
    checksum: str


def copy_database(source_url: str, target_url: str, tell: Tell, *, batch: int = 1000) -> dict[str, Sum]:
    """Copy all tables, compare both databases, and hand the work over to the target.

    Returns what each table holds, as read from the target. The source is marked, so that no service starts on it
    any more. ``batch``: rows that are read and committed at a time. Raises DatabaseError when one of them can't be
    opened, and NotCopied.
    """
    names = public_name(source_url), public_name(target_url)
    try:
        with (
            _opened(source_url, names[0], "DATABASE_URL") as source,
            _opened(target_url, names[1], "--to") as target,
        ):
            _begin(source, target, *names)
            expected = {table: _copy_table(source, target, table, tell, batch) for table in metadata.sorted_tables}
            found = {table: _sum_of(target, table, batch) for table in metadata.sorted_tables}
            wrong = [table.name for table in expected if expected[table] != found[table]]
            if wrong:
                raise NotCopied(f"--to: after the copy {', '.join(wrong)} differ: run the command again")
            # Who was cut off from PostgreSQL when we began may have come back.
            _alone(source, names[0])
            _alone(target, names[1])
            continue_ids(target)
            _hand_over(source, target, names[1])
    except DBAPIError as error:
        raise NotCopied(f"--to: a database refused ({driver_message(error)}): mend that, then run it again") from None
    return {table.name: total for table, total in found.items()}


def public_name(url: str) -> str:
    """Give a database's address as it can be shown, written down and compared: without what may be secret."""
    known = make_url(url).set(password=None, query={})
    if known.get_backend_name() == "sqlite":
        known = known.set(database=str(Path(known.database or "").absolute()))  # wherever the next run is started
    return known.render_as_string().replace("+psycopg", "")


@contextmanager
def _opened(url: str, name: str, given_by: str) -> Iterator[Connection]:
    """Give the one connection that all is done with; nobody else works on the database for as long as it lasts."""
    with _naming(given_by):
        database = open_database(url)
    try:
        with _naming(given_by):
            migrate(database.writing)
        with database.writing.connect() as connection:
            with connection.begin():
                if not hold(connection):
                    raise NotCopied(
                        f"{name} is being copied, or a service just starts on it: wait for its end, or stop it"
                    )
            try:
                _alone(connection, name)
                yield connection
            finally:
                with suppress(DBAPIError), connection.begin():  # a connection that is lost holds nothing
                    let_go(connection)
    finally:
        database.close()


@contextmanager
def _naming(given_by: str) -> Iterator[None]:
    """Let what can't be used be told by the name of what gave its address."""
    try:
        yield
    except DatabaseError as unusable:
        raise DatabaseError(str(unusable).replace("DATABASE_URL", given_by, 1)) from None


def _alone(connection: Connection, name: str) -> None:
    """Raise NotCopied when others are connected to a PostgreSQL database. SQLite has its process lock for that."""
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
    """Mark the target as half a copy, unless it is one already."""
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
            case None if all(_count(target, table) == 0 for table in metadata.sorted_tables):
                mark(target, Role.HALF, from_)
            case _:
                raise NotCopied(f"--to: {to} is not empty and no copy of {from_}: give a new, empty database")


def _hand_over(source: Connection, target: Connection, to: str) -> None:
    # In this order: in between no service can start on either, and the next run finds what is left to do.
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
            there = {_key(table, row): row for row in target.execute(select(table).where(_among(table, keys)))}
            new = [row._asdict() for row, key in zip(rows, keys, strict=True) if there.get(key) != row]
            if new:
                statement = insert(target, table)
                others = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
                target.execute(statement.on_conflict_do_update(index_elements=table.primary_key, set_=others), new)
        done += len(rows)
        checksum += sum(map(_number, rows))
        tell(table.name, done, total)
    _remove_strays(source, target, table, batch)
    return _sum(done, checksum)


def _remove_strays(source: Connection, target: Connection, table: Table, batch: int) -> None:
    """Delete what the source had when an earlier run was interrupted, and has no more."""
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
    """Give all rows in the order of their keys, whatever order of texts the database has."""
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
    """Make a number of a row, the same on every database."""
    values = [json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value for value in row]
    return int.from_bytes(hashlib.blake2b(repr(values).encode(), digest_size=16).digest())


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _key(table: Table, row: Row[Any]) -> _Key:
    return tuple(row._mapping[column.name] for column in table.primary_key)  # the public name of it


def _among(table: Table, keys: Sequence[_Key]) -> Any:
    return tuple_(*table.primary_key).in_(keys)
