"""The migration that older versions can't work with is refused while one of them is connected."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url

from app.outbox.database import LOOKS, Database, DatabaseError, open_database
from app.outbox.inspect_database import inspect
from app.outbox.migrate import SchemaState, migrate, why_not_migrated
from app.outbox.outbox import Outbox
from tests.databases import PostgreSQL
from tests.outbox.queue_of_0_1 import REVISION, upgrade

UPGRADING = Path(__file__).parents[2] / "UPGRADING.md"


@pytest.fixture
def old_url(postgresql: PostgreSQL) -> str:
    """Return the URL of a database with the tables of version 0.1.0."""
    url = postgresql.new_database()
    with closing(open_database(url)) as database:
        upgrade(database.writing, REVISION)
    return url


@pytest.fixture
def old_database(old_url: str) -> Iterator[Database]:
    with closing(open_database(old_url)) as database:
        yield database


def connect_as_the_old_version(url: str) -> psycopg.Connection:
    """Connect with the settings of version 0.1.0, which had no application name."""
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True, options="-c statement_timeout=10000")


def test_connected_processes_of_an_older_version_are_counted_with_the_fix(old_url: str, old_database: Database) -> None:
    with connect_as_the_old_version(old_url) as working:
        with pytest.raises(DatabaseError, match=r"^DATABASE_URL: 1 connection of an older version is open") as refused:
            migrate(old_database.writing)
        assert "stop all processes of the older version, then start this one" in str(refused.value)
        assert "A psql session" in str(refused.value)
        with (
            connect_as_the_old_version(old_url),
            pytest.raises(DatabaseError, match="2 connections of an older version are open") as refused,
        ):
            Outbox.open(old_url)
        assert str(refused.value) in " ".join(UPGRADING.read_text(encoding="utf-8").split())
        # Nothing is locked or changed: the older version goes on working.
        working.execute("INSERT INTO blocklist (entry, created_at) VALUES ('1', now())")
        assert working.execute("SELECT version_num FROM alembic_version").fetchone() == ("0008",)
    Outbox.open(old_url).close()


def test_a_connection_that_closes_at_this_moment_is_waited_for(old_url: str, old_database: Database) -> None:
    old = connect_as_the_old_version(old_url)
    looks = 0

    def close_at_the_last_look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal looks
        if "pg_stat_activity" in statement:
            looks += 1
            if looks == LOOKS // 2:
                old.close()

    event.listen(old_database.writing, "before_cursor_execute", close_at_the_last_look)
    migrate(old_database.writing)
    assert LOOKS // 2 <= looks <= LOOKS


def test_replicas_of_this_version_may_start_at_once(old_url: str) -> None:
    ready = threading.Barrier(4)

    def start(_: int) -> None:
        database = open_database(old_url)
        with database.reading.connect():  # connected before any of them migrates
            ready.wait(20)
            migrate(database.writing)
        database.close()

    with ThreadPoolExecutor(4) as replicas:
        list(replicas.map(start, range(4)))
    assert inspect(old_url).schema is SchemaState.CURRENT


def test_other_users_and_other_databases_do_not_count(
    old_url: str, old_database: Database, postgresql: PostgreSQL
) -> None:
    user = f"exporter_of_{make_url(old_url).database}"
    with old_database.writing.begin() as connection:
        connection.execute(text(f"CREATE ROLE {user} LOGIN"))
    other_user = make_url(old_url).set(username=user, drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(other_user), connect_as_the_old_version(postgresql.new_database()):
        migrate(old_database.writing)


def test_once_migrated_any_client_may_connect(old_url: str, old_database: Database) -> None:
    migrate(old_database.writing)
    with connect_as_the_old_version(old_url):
        Outbox.open(old_url).close()
        with old_database.writing.connect() as connection:
            current = connection.scalar(text("SELECT version_num FROM alembic_version"))
            assert why_not_migrated(connection, current) is None


def test_an_inspection_says_the_same(old_url: str) -> None:
    assert inspect(old_url).unusable is None
    with connect_as_the_old_version(old_url):
        info = inspect(old_url)
    assert info.schema is SchemaState.OLDER
    assert info.unusable is not None
    assert info.unusable.startswith("DATABASE_URL: 1 connection of an older version is open")
    Outbox.open(old_url).close()
    with connect_as_the_old_version(old_url):
        assert inspect(old_url).unusable is None


def test_sqlite_has_its_process_lock_for_this() -> None:
    with create_engine("sqlite://").connect() as connection:
        assert why_not_migrated(connection, "0008") is None
