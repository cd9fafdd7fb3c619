"""Migrate the tables at start, by one process at a time, while other replicas may be working on them."""

import logging
import time
from enum import Enum
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from app.logs import event
from app.outbox.database import DatabaseError, driver_message, other_connections
from app.outbox.schema import metadata

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "migrations"
_REVISIONS = sorted(file.name[1:5] for file in (_FOLDER / "versions").glob("m*.py"))  # m0001_….py is "0001"
_LOCK = 0x4D494752
MADE_BY_NEWER = "DATABASE_URL: the database was made by a newer version of this service: update the service"
NOT_ROLLING = "0013"
"""The first revision that processes of older versions can't work with."""
_MAX_ATTEMPTS = 6
_RETRY_DELAY = 0.5  # seconds
# SQLSTATEs after which a retry may succeed: class 40 (deadlock and the like), and a lock timeout.
_TRANSIENT = ("40", "55P03")
# Transactions that want a table queue behind our lock request. So wait briefly and retry, or replicas would stall.
_SET_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '4s'"


class SchemaState(Enum):
    """How a database's schema compares with the one of this version."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def schema_revision(connection: Connection) -> str | None:
    """Return the revision of the database's schema, None for an empty database. Changes nothing."""
    has_table = inspect(connection).has_table("alembic_version")
    return connection.scalar(text("SELECT version_num FROM alembic_version")) if has_table else None


def schema_state(revision: str | None) -> SchemaState:
    """Return how a revision compares with that of this version."""
    if revision is None:
        return SchemaState.EMPTY
    if revision == _REVISIONS[-1]:
        return SchemaState.CURRENT
    return SchemaState.OLDER if revision in _REVISIONS else SchemaState.NEWER


def migrate(engine: Engine) -> None:
    """Run all missing migrations in one transaction, which is retried after a deadlock or lock timeout.

    Raises `DatabaseError` if the database refuses, was migrated by a newer version, or is used by an older one that the
    new tables would break.
    """
    for retries_left in reversed(range(_MAX_ATTEMPTS)):
        try:
            with engine.begin() as connection:
                _upgrade(connection)
        except DBAPIError as error:
            if not retries_left or not (getattr(error.orig, "sqlstate", None) or "").startswith(_TRANSIENT):
                raise DatabaseError(
                    f"DATABASE_URL: the database refused ({driver_message(error)}): check that it runs, "
                    "that the address is right and that this user may change tables"
                ) from None
            event(log, "outbox.migration_retried", logging.WARNING, cause=driver_message(error))
            time.sleep(_RETRY_DELAY)
        else:
            return


def _upgrade(connection: Connection) -> None:
    on_postgresql = connection.dialect.name == "postgresql"
    if on_postgresql:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    revision = schema_revision(connection)
    state = schema_state(revision)
    if state is SchemaState.CURRENT:
        return
    if state is SchemaState.NEWER:
        raise DatabaseError(MADE_BY_NEWER)
    _check_no_older_processes(connection, revision)
    if on_postgresql:
        connection.execute(text(_SET_LOCK_TIMEOUT))
        _lock_all_tables(connection)
        _check_no_older_processes(connection, revision)  # again: one may have connected before the locks
    # Imported only here: most starts find the tables up to date, and are spared the time and memory.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def why_not_migrated(connection: Connection, revision: str | None) -> str | None:
    """Return why a database with the schema of `revision` can't be migrated now, and the fix; None if it can.

    Most migrations run beside old replicas. One doesn't: older versions would insert into columns that it drops. A psql
    session of the same user counts too: PostgreSQL can't tell the two apart. SQLite has its process lock for this.
    """
    if revision is None or revision >= NOT_ROLLING:
        return None
    others = other_connections(connection, of_older_versions=True)
    if not others:
        return None
    are_open = "1 connection of an older version is" if others == 1 else f"{others} connections of an older version are"
    return (
        f"DATABASE_URL: {are_open} open, and this upgrade can't run beside them: stop all processes of the older "
        "version, then start this one. A psql session or a pooler of the same user counts too: close it"
    )


def _check_no_older_processes(connection: Connection, revision: str | None) -> None:
    if why := why_not_migrated(connection, revision):
        raise DatabaseError(why)


def _lock_all_tables(connection: Connection) -> None:
    """Lock all tables before anything is changed. Locked one by one, they would deadlock with running replicas.

    The first is `alembic_version`: up to this version, replicas wrote it before other work, to prove their health.
    """
    existing = set(inspect(connection).get_table_names())
    for name in ("alembic_version", *metadata.tables):
        if name in existing:
            connection.execute(text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"))
        if name == "alembic_version":
            # Let replicas queue behind this lock first. In a deadlock PostgreSQL aborts the side whose
            # `deadlock_timeout` expires first. Replicas retry, so it should be theirs and not ours.
            connection.execute(text("SELECT pg_sleep(0.2)"))
