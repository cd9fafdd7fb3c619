"""Opening the database: the engines, SQLite's switches, and the lock that keeps a second process out."""

import fcntl
import logging
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from app import logs

log = logging.getLogger(__name__)

# Two connections that write or checkpoint at once can corrupt a WAL database before this version (sqlite.org/wal.html,
# "the WAL-reset bug"). We have one writing connection; the warning is for whoever opens the file with another tool.
_WAL_RESET_FIXED = (3, 51, 3)
_POSTGRES_ACCEPT_LOCK = 0x43484153
READ_ONLY: Final = "25006"
"""PostgreSQL's SQLSTATE for a write in a transaction that may only read."""
# A replica that is stopped in the middle of a transaction must not keep the others waiting: the server ends it. And a
# server that is slow, or a network that swallows packets, becomes an error that can be told: tcp_user_timeout looks
# after what was sent and not acknowledged, keepalives after a connection that waits for an answer and is gone.
_POSTGRES = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "options": "-c idle_in_transaction_session_timeout=5000 -c statement_timeout=10000",
}


class DatabaseError(Exception):
    """The database can't be opened; the text names the reason and the cure."""


@dataclass(frozen=True, slots=True)
class Database:
    """``writing`` is for the writer thread alone; ``reading`` can't change anything."""

    writing: Engine
    reading: Engine
    lock: int | None

    @property
    def is_exclusive(self) -> bool:
        """Tell whether no other process can be working on this database."""
        return self.lock is not None

    def lock_admission(self, connection: Connection) -> None:
        """Let one process at a time accept on PostgreSQL, so that quotas stay exact over replicas."""
        if not self.is_exclusive:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_ACCEPT_LOCK})

    def close(self) -> None:
        """Close readers first: SQLite's last connection tidies up, and that must be the writing one."""
        self.reading.dispose()
        self.writing.dispose()
        if self.lock is not None:
            os.close(self.lock)


def open_database(url: str) -> Database:
    """Open the database at a URL as settings give it. Raises DatabaseError."""
    if make_url(url).get_backend_name() == "sqlite":
        return _open_sqlite(url)
    # One connection of the writer's own: however many read, and whatever holds them up, it need not wait for one.
    writing = _connect_postgresql(url, pool_size=1, max_overflow=0)
    # Who waits for a connection gives up before its caller does (see Outbox): no thread is left behind for that.
    reading = _connect_postgresql(url, pool_size=5, pool_timeout=8)
    return Database(writing, reading.execution_options(postgresql_readonly=True), None)


def file_at(url: str) -> Path:
    """Give the file of an SQLite database, whatever links lead to it. Raises DatabaseError if they lead nowhere."""
    named = Path(str(make_url(url).database))
    try:
        path = named.resolve()
        circle = path.is_symlink()
    except (OSError, RuntimeError):  # Python before 3.13 raises RuntimeError for links that lead in a circle
        circle = True
    if circle:
        raise DatabaseError(f"DATABASE_URL: the links at {named} lead nowhere: give the path of a file")
    return path


def driver_message(error: DBAPIError) -> str:
    """Give the driver's own words ("database or disk is full") in one line, without the statement and its values.

    Of what PostgreSQL says only its first message: the details repeat the values, or the whole row.
    """
    told = getattr(getattr(error.orig, "diag", None), "message_primary", None) or str(error.orig)
    return " ".join(told.split())[:200]


def _connect_postgresql(url: str, **pool: int) -> Engine:
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=_POSTGRES, **pool)
    event.listen(engine, "handle_error", _discard_read_only_connection)
    event.listen(engine, "checkin", _reset_read_only)
    return engine


def _reset_read_only(connection: Any, _record: Any) -> None:
    # SQLAlchemy leaves a session that has read with the order to write, which would overrule a server that is to be
    # read only. None: whatever the server says.
    if connection is not None:
        connection.read_only = None


def _discard_read_only_connection(context: ExceptionContext) -> None:
    # Whether a session may write is set when it begins: one opened on a standby, or while the database was read-only,
    # can stay so for ever. So it is given up, and the next one is new.
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _open_sqlite(url: str) -> Database:
    path = file_at(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DatabaseError(
            f"DATABASE_URL: can't write in {path.parent}: {error.strerror}: give a folder this user may write"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise DatabaseError(
            f"DATABASE_URL: another process already works on {path}: stop it first, "
            "or use PostgreSQL to run several processes"
        ) from None
    if sqlite3.sqlite_version_info < _WAL_RESET_FIXED:
        logs.event(
            log, "outbox.sqlite_wal_reset_bug", logging.WARNING, sqlite=sqlite3.sqlite_version, fixed_in="3.51.3"
        )
    found = make_url(url).set(database=str(path))
    writing = create_engine(found, hide_parameters=True, pool_size=1, max_overflow=0)
    reading = create_engine(found, hide_parameters=True, pool_size=4, max_overflow=0)
    event.listen(writing, "connect", _prepare_writing)
    event.listen(writing, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    event.listen(reading, "connect", _prepare_reading)
    event.listen(reading, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return Database(writing, reading, lock)


def _prepare_writing(connection: Any, _record: Any) -> None:
    # None: the driver leaves transactions to us, so that BEGIN IMMEDIATE is really the first statement.
    connection.isolation_level = None
    for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_reading(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA query_only = ON")
