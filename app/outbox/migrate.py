"""Bringing the tables up to date, at start and by one process at a time, while other replicas may be at work."""

import logging
import time
from enum import Enum
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from app.logs import event
from app.outbox.database import DatabaseError, driver_message
from app.outbox.schema import metadata

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "migrations"
_REVISIONS = sorted(file.name[1:5] for file in (_FOLDER / "versions").glob("m*.py"))  # m0001_….py has "0001"
_LOCK = 0x4D494752
MADE_BY_NEWER = "DATABASE_URL: the database was made by a newer version of this service: update the service"
_TRIES = 6
_PAUSE = 0.5  # seconds
# SQLSTATEs of what passes: the transaction met another one (a deadlock), or waited for a lock for too long.
_PASSES = ("40", "55P03")
# Whoever comes after us for a table waits behind us, so we must not wait for long: better once more from the start.
_WAIT_FOR_TABLES = "SET LOCAL lock_timeout = '4s'"


class SchemaState(Enum):
    """How a database's tables compare with those that this version works on."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def schema_state(connection: Connection) -> SchemaState:
    """Look how far a database is; changes nothing."""
    has_table = inspect(connection).has_table("alembic_version")
    there = connection.scalar(text("SELECT version_num FROM alembic_version")) if has_table else None
    if there is None:
        return SchemaState.EMPTY
    if there == _REVISIONS[-1]:
        return SchemaState.CURRENT
    return SchemaState.OLDER if there in _REVISIONS else SchemaState.NEWER


def migrate(engine: Engine) -> None:
    """Run the migrations the database doesn't have yet, all in one transaction. Raises DatabaseError."""
    for left in reversed(range(_TRIES)):
        try:
            with engine.begin() as connection:
                _upgrade(connection)
        except DBAPIError as error:
            if not left or not (getattr(error.orig, "sqlstate", None) or "").startswith(_PASSES):
                raise DatabaseError(
                    f"DATABASE_URL: the database refused ({driver_message(error)}): check that it runs, "
                    "that the address is right and that this user may change tables"
                ) from None
            event(log, "outbox.migration_retried", logging.WARNING, cause=driver_message(error))
            time.sleep(_PAUSE)
        else:
            return


def _upgrade(connection: Connection) -> None:
    on_postgresql = connection.dialect.name == "postgresql"
    if on_postgresql:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    found = schema_state(connection)
    if found is SchemaState.CURRENT:
        return
    if found is SchemaState.NEWER:
        raise DatabaseError(MADE_BY_NEWER)
    if on_postgresql:
        connection.execute(text(_WAIT_FOR_TABLES))
        _lock_all_tables(connection)
    # Only now: nearly every start finds its tables up to date, and does without the time and memory this takes.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _lock_all_tables(connection: Connection) -> None:
    """Take all tables before anything is changed: taken one by one, they would meet what replicas hold crosswise.

    First the one that replicas prove their health by: up to this version they did so before other work.
    """
    there = set(inspect(connection).get_table_names())
    for name in ("alembic_version", *metadata.tables):
        if name in there:
            connection.execute(text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"))
        if name == "alembic_version":
            # Whoever holds another table now comes to wait for this one, and has then waited for longer than we will:
            # of a deadlock's two sides PostgreSQL ends the one that notices first, and theirs is tried again.
            connection.execute(text("SELECT pg_sleep(0.2)"))
