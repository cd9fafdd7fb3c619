"""Open the database: engines, connection settings, and SQLite's lock against a second process."""

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from app import logs
from app.outbox.transitions import drop_history, write_history
from app.version import VERSION

log = logging.getLogger(__name__)

# Before this version two connections that write or checkpoint at once can corrupt a WAL database (sqlite.org/wal.html,
# "the WAL-reset bug"). The service has one writing connection, so this concerns other tools that open the file.
WAL_RESET_FIXED: Final = "3.51.3"
READ_ONLY: Final = "25006"
"""PostgreSQL's SQLSTATE for a write in a read-only transaction (`read_only_sql_transaction`)."""
APPLICATION: Final = "chaser-callback/"
"""The application name of every connection to PostgreSQL begins with this, and ends with the version.

Versions before 0.2.0 set none: see `migrate.why_not_migrated`.
"""
LOOKS, _PAUSE = 20, 0.05  # pg_stat_activity still lists a connection for a moment after it closed; seconds
_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid() "
    "AND (:all OR NOT starts_with(application_name, :ours))"
).bindparams(ours=APPLICATION)
COMPACT: Final = "compact"
"""Key in `Connection.info`: SQLite's writer calls `compact` after the commit, with `rewrite` as its value says."""
_BUSY_TIMEOUT: Final = "PRAGMA busy_timeout = 5000"
# Otherwise a transaction would see the connections that it saw first.
_CLEAR_SNAPSHOT = text("SELECT pg_stat_clear_snapshot()")
# Timeouts that turn a stalled connection into an error. The server ends a transaction that a stopped replica left open,
# as its locks would block the other replicas. `tcp_user_timeout` covers sent data that is not acknowledged. Keep-alive
# probes detect a lost peer while we wait for its reply.
_POSTGRES = {
    "application_name": f"{APPLICATION}{VERSION}",
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "options": "-c idle_in_transaction_session_timeout=5000 -c statement_timeout=10000",
}
# The writer prepares its statements, and PostgreSQL keeps the plans. A plan made while the tables are small would read
# them whole for ever, and a new plan for each execution would cost more than the execution. An index fits each of its
# statements.
_WRITER_OPTIONS = "".join(
    f" -c {option}"
    for option in (
        "plan_cache_mode=force_generic_plan",
        "enable_seqscan=off",
        "enable_hashjoin=off",
        "enable_mergejoin=off",
        "jit=off",
    )
)


class DatabaseError(Exception):
    """The database can't be used. The text names the reason and the fix."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: `writing` is the writer thread's engine, `reading` is read-only.

    `lock` is the file descriptor of SQLite's process lock, None on PostgreSQL.
    """

    writing: Engine
    reading: Engine
    lock: int | None

    @property
    def is_exclusive(self) -> bool:
        """Return whether no other process can be working on this database."""
        return self.lock is not None

    def close(self) -> None:
        """Close the readers, then the writer, then release the process lock.

        The last SQLite connection checkpoints the WAL on closing, and only the writing one is allowed to.
        """
        self.reading.dispose()
        self.writing.dispose()
        if self.lock is not None:
            os.close(self.lock)


def has_wal_reset_bug() -> bool:
    """Return whether this SQLite is older than WAL_RESET_FIXED."""
    return sqlite3.sqlite_version_info < tuple(map(int, WAL_RESET_FIXED.split(".")))


def open_database(url: str) -> Database:
    """Open the database at the URL in `DATABASE_URL`. Raises `DatabaseError`."""
    sqlite = make_url(url).get_backend_name() == "sqlite"
    database = _open_sqlite(url) if sqlite else _open_postgresql(url)
    event.listen(database.writing, "commit", write_history)
    event.listen(database.writing, "rollback", drop_history)
    return database


def _open_postgresql(url: str) -> Database:
    # The writer has its own connection: slow readers must not block it. Its checkout costs no round trip. A connection
    # that was lost meanwhile fails the first statement, and the writer retries. It needs READ COMMITTED, so that after
    # waiting for a lock it sees what the holder wrote.
    writing = _connect_postgresql(url, _WRITER_OPTIONS, pool_size=1, max_overflow=0, isolation_level="READ COMMITTED")
    # Shorter than `Outbox`'s timeout: otherwise a waiting thread would outlive its request.
    reading = _connect_postgresql(url, pool_size=5, pool_timeout=8, pool_pre_ping=True)
    return Database(writing, reading.execution_options(postgresql_readonly=True), None)


def file_at(url: str) -> Path:
    """Return the path of an SQLite database, with symbolic links resolved.

    Raises `DatabaseError` if the links form a loop.
    """
    configured = Path(str(make_url(url).database))
    try:
        path = configured.resolve()
        is_loop = path.is_symlink()
    except (OSError, RuntimeError):  # Python before 3.13 raises RuntimeError for a loop of symbolic links
        is_loop = True
    if is_loop:
        raise DatabaseError(f"DATABASE_URL: the links at {configured} lead nowhere: give the path of a file")
    return path


def driver_message(error: DBAPIError) -> str:
    """Return the driver's message in one line of at most 200 characters, such as "database or disk is full".

    The statement and its values are left out. Of PostgreSQL's message only the primary line is used: its details may
    contain values or a whole row.
    """
    message = getattr(getattr(error.orig, "diag", None), "message_primary", None) or str(error.orig)
    return " ".join(message.split())[:200]


def other_connections(connection: Connection, *, of_older_versions: bool = False) -> int:
    """Count the other clients of the same user at a PostgreSQL database, or only those of versions before 0.2.0.

    Those that are just closing don't count. SQLite has its process lock for this: there are none.
    """
    if connection.dialect.name != "postgresql":
        return 0
    others = 0
    for look in range(LOOKS):
        if look:
            time.sleep(_PAUSE)
        connection.execute(_CLEAR_SNAPSHOT)
        others = connection.execute(_OTHERS, {"all": not of_older_versions}).scalar_one()
        if not others:
            break
    return others


def _connect_postgresql(url: str, session_options: str = "", **options: Any) -> Engine:
    connect_args = {**_POSTGRES, "options": f"{_POSTGRES['options']}{session_options}"}
    engine = create_engine(url, hide_parameters=True, connect_args=connect_args, **options)
    event.listen(engine, "handle_error", _discard_read_only_connection)
    event.listen(engine, "checkin", _reset_read_only)
    return engine


def _reset_read_only(connection: Any, _record: Any) -> None:
    # SQLAlchemy leaves `read_only` set on the pooled connection, which overrides the server's
    # `default_transaction_read_only`. None restores the server's default.
    if connection is not None:
        connection.read_only = None


def _discard_read_only_connection(context: ExceptionContext) -> None:
    # A session takes its read-only default when it starts. One opened on a standby could stay read-only after a
    # failover, so discard the connection.
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _open_sqlite(url: str) -> Database:
    path = file_at(url)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # SQLite would create it with the mode 0644. Its -wal and -shm files get the mode of this one.
        with contextlib.suppress(FileExistsError):
            path.touch(0o600, exist_ok=False)
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
    if has_wal_reset_bug():
        logs.event(log, "outbox.sqlite_wal_reset_bug", sqlite=sqlite3.sqlite_version, fixed_in=WAL_RESET_FIXED)
    resolved = make_url(url).set(database=str(path))
    writing = create_engine(resolved, hide_parameters=True, pool_size=1, max_overflow=0)
    reading = create_engine(resolved, hide_parameters=True, pool_size=4, max_overflow=0)
    event.listen(writing, "connect", _prepare_writing)
    event.listen(writing, "checkin", _run_after_commit)
    event.listen(writing, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    event.listen(reading, "connect", _prepare_reading)
    event.listen(reading, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return Database(writing, reading, lock)


def _prepare_writing(connection: Any, _record: Any) -> None:
    # None turns off the driver's implicit BEGIN, so that BEGIN IMMEDIATE is the first statement.
    connection.isolation_level = None
    connection.execute(_BUSY_TIMEOUT)
    # `secure_delete` overwrites erased rows. Otherwise their numbers would stay in the file.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _run_after_commit(connection: Any, record: Any) -> None:
    if COMPACT not in record.info:
        return
    try:
        compact(connection, rewrite=record.info.pop(COMPACT))
    except sqlite3.Error as error:  # such as a full disk. The next erasure tries again.
        logs.event(log, "outbox.not_compacted", logging.WARNING, cause=str(error))


def compact(connection: Any, *, rewrite: bool) -> None:
    """Empty SQLite's WAL; with `rewrite` rewrite its file first. `connection` is the driver's, not in a transaction.

    A reader that stays, such as Litestream, must not hold up the writer for seconds. Raises sqlite3.Error.
    """
    if rewrite:
        connection.execute("VACUUM")
    connection.execute("PRAGMA busy_timeout = 100")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(_BUSY_TIMEOUT)


def _prepare_reading(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute(_BUSY_TIMEOUT)
    connection.execute("PRAGMA query_only = ON")
