"""Inspect the database without changing anything: no file, lock or table. Works while a service runs."""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from app.outbox.database import APPLICATION, DatabaseError, driver_message, file_at
from app.outbox.handover import why_unusable
from app.outbox.migrate import SchemaState, schema_revision, schema_state, why_not_migrated
from app.version import VERSION

_POSTGRES = {"connect_timeout": 5, "application_name": f"{APPLICATION}{VERSION}"}  # seconds
_WRITE_PRIVILEGES = """
    SELECT has_table_privilege('callbacks', 'SELECT') AND has_table_privilege('callbacks', 'INSERT')
        AND has_table_privilege('callbacks', 'UPDATE') AND has_table_privilege('callbacks', 'DELETE')
"""


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """The state of a database.

    `place` is its file, or its database and host, without the password. `there` is whether it exists. `unusable` is why
    a service must not use it (see `handover` and `why_not_migrated`), None if it may. `exposed`: files of it that other
    users of the machine may read or write.
    """

    place: str
    there: bool
    schema: SchemaState
    unusable: str | None = None
    exposed: tuple[Path, ...] = ()


def inspect(url: str) -> DatabaseInfo:
    """Open the database at a URL read-only, and check that this user could write to it.

    Raises `DatabaseError`, with the reason and the fix, if it can't be opened or written.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return _inspect_file(file_at(url))
    place = f"{address.database} at {address.host or 'the local server'}"
    engine = create_engine(url, hide_parameters=True, poolclass=NullPool, connect_args=_POSTGRES)
    try:
        with engine.connect().execution_options(postgresql_readonly=True) as connection:
            revision = schema_revision(connection)
            schema = schema_state(revision)
            _check_server_is_writable(connection, schema)
            unusable = why_unusable(connection)
            if unusable is None and schema is SchemaState.OLDER:
                unusable = why_not_migrated(connection, revision)
    except DBAPIError as error:
        raise DatabaseError(
            f"DATABASE_URL: the database can't be opened ({driver_message(error)}): check that the server runs, and "
            "the address, user and password"
        ) from None
    return DatabaseInfo(place, True, schema, unusable)


def _check_server_is_writable(connection: Connection, schema: SchemaState) -> None:
    read_only = connection.scalar(
        text("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool")
    )
    if read_only:
        raise DatabaseError("DATABASE_URL: this server is read-only: give the address of one that accepts writes")
    may_write = (
        connection.scalar(text(_WRITE_PRIVILEGES))
        if schema is not SchemaState.EMPTY
        else connection.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')"))
    )
    if not may_write:
        raise DatabaseError("DATABASE_URL: this user may not write: grant it the rights, or give another user")


def _inspect_file(path: Path) -> DatabaseInfo:
    try:
        _check_folder_is_writable(path.parent)
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    if not path.exists():
        return DatabaseInfo(str(path), False, SchemaState.EMPTY)
    exposed = []
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", ".lock"))):
        try:
            os.close(os.open(file, os.O_RDWR))
            if file.stat().st_mode & 0o077:
                exposed.append(file)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unwritable(file, error) from None
    engine = _read_only_engine(path)
    try:
        with engine.connect() as connection:
            schema = schema_state(schema_revision(connection))
            return DatabaseInfo(str(path), True, schema, why_unusable(connection), tuple(exposed))
    except DBAPIError as error:
        raise DatabaseError(
            f"DATABASE_URL: {path} can't be read as a database ({driver_message(error)}): give another path, "
            "or put a backup there"
        ) from None


def _read_only_engine(path: Path) -> Engine:
    """Return an engine that creates no files.

    A file in WAL mode is read together with its WAL, and SQLite would create a missing `-shm` file for that. If there
    is none, no process has the database open, so it can be opened as immutable.
    """
    wal_in_use = all(path.with_name(path.name + end).exists() for end in ("-wal", "-shm"))
    address = f"{path.as_uri()}?{'mode=ro&readonly_shm=1' if wal_in_use else 'immutable=1'}"
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=NullPool)


def _check_folder_is_writable(folder: Path) -> None:
    """Raise `OSError` if no file could be created in a folder, which may not exist yet."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(0, "not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(0, "Permission denied")


def _unwritable(path: Path, error: OSError) -> DatabaseError:
    fix = "give this user the right to write there, or another path"
    return DatabaseError(f"DATABASE_URL: can't write {path}: {error.strerror}: {fix}")
