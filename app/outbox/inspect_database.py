"""A look at the database that changes nothing: no file, no lock, no table; also while a service works on it."""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from app.outbox.database import DatabaseError, driver_message, file_at
from app.outbox.migrate import SchemaState, schema_state
from app.outbox.moved import why_unusable

_CONNECT_WITHIN = 5  # seconds
_MAY_WRITE = """
    SELECT has_table_privilege('callbacks', 'SELECT') AND has_table_privilege('callbacks', 'INSERT')
        AND has_table_privilege('callbacks', 'UPDATE') AND has_table_privilege('callbacks', 'DELETE')
"""


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """What was seen: the place of the database without its password, and how far it is; `there`: it exists.

    ``unusable``: why no service may work on it, see moved.py.
    """

    place: str
    there: bool
    schema: SchemaState
    unusable: str | None = None


def inspect(url: str) -> DatabaseInfo:
    """Open the database at a URL to read, and find out whether it could be written.

    Raises DatabaseError when it can't be opened or written, with the reason and the cure.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return _look_at_file(file_at(url))
    place = f"{address.database} at {address.host or 'the local server'}"
    engine = create_engine(
        url, hide_parameters=True, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_WITHIN}
    )
    try:
        with engine.connect().execution_options(postgresql_readonly=True) as connection:
            found = schema_state(connection)
            _may_write_on_server(connection, found)
            unusable = why_unusable(connection)
    except DBAPIError as error:
        raise DatabaseError(
            f"DATABASE_URL: the database can't be opened ({driver_message(error)}): check that the server runs, and "
            "the address, user and password"
        ) from None
    return DatabaseInfo(place, True, found, unusable)


def _may_write_on_server(connection: Connection, found: SchemaState) -> None:
    kept = connection.scalar(
        text("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool")
    )
    if kept:
        raise DatabaseError("DATABASE_URL: this server only reads: give the address of the one that writes")
    may = (
        connection.scalar(text(_MAY_WRITE))
        if found is not SchemaState.EMPTY
        else connection.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')"))
    )
    if not may:
        raise DatabaseError("DATABASE_URL: this user may not write: grant it the rights, or give another user")


def _look_at_file(path: Path) -> DatabaseInfo:
    try:
        _may_write_in(path.parent)
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    if not path.exists():
        return DatabaseInfo(str(path), False, SchemaState.EMPTY)
    for companion in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", ".lock"))):
        try:
            os.close(os.open(companion, os.O_RDWR))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unwritable(companion, error) from None
    engine = _reading(path)
    try:
        with engine.connect() as connection:
            return DatabaseInfo(str(path), True, schema_state(connection), why_unusable(connection))
    except DBAPIError as error:
        raise DatabaseError(
            f"DATABASE_URL: {path} can't be read as a database ({driver_message(error)}): give another path, "
            "or put a backup there"
        ) from None


def _reading(path: Path) -> Engine:
    """Give an engine that can't leave a trace.

    A file in WAL mode is read together with its log, for which SQLite would make an index file where there is none.
    Where there is none, nobody has the database open, and it can be read as if it were never to change.
    """
    log_in_use = all(path.with_name(path.name + end).exists() for end in ("-wal", "-shm"))
    address = f"{path.as_uri()}?{'mode=ro&readonly_shm=1' if log_in_use else 'immutable=1'}"
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=NullPool)


def _may_write_in(folder: Path) -> None:
    """Raise OSError when no file could be made in a folder that may not be there yet."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(0, "not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(0, "Permission denied")


def _unwritable(path: Path, error: OSError) -> DatabaseError:
    cure = "give this user the right to write there, or another path"
    return DatabaseError(f"DATABASE_URL: can't write {path}: {error.strerror}: {cure}")
