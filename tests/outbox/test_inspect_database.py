"""Inspecting a database changes nothing, in any of its states."""

import hashlib
import shutil
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from app.outbox.database import DatabaseError, open_database
from app.outbox.inspect_database import inspect
from app.outbox.migrate import SchemaState
from app.outbox.outbox import Outbox
from tests.databases import PostgreSQL


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_current_tables_are_recognised(database_url: str) -> None:
    Outbox.open(database_url).close()
    assert (inspect(database_url).there, inspect(database_url).schema) == (True, SchemaState.CURRENT)


def test_tables_of_a_newer_version_are_recognised(database_url: str) -> None:
    database = open_database(database_url)
    with database.writing.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('9999')"))
        if not database.is_exclusive:
            connection.execute(text("CREATE TABLE callbacks (id integer)"))
    database.close()
    assert inspect(database_url).schema is SchemaState.NEWER


def test_a_file_of_a_killed_process_is_read_with_its_wal_and_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / "alive").mkdir()
    outbox = Outbox.open(f"sqlite:///{tmp_path}/alive/callbacks.db")
    shutil.copytree(tmp_path / "alive", tmp_path / "dead")  # as after a SIGKILL: the tables are in the WAL
    assert inspect(f"sqlite:///{tmp_path}/alive/callbacks.db").schema is SchemaState.CURRENT
    outbox.close()
    assert (tmp_path / "dead" / "callbacks.db-wal").stat().st_size > 0
    before = contents(tmp_path / "dead")
    assert inspect(f"sqlite:///{tmp_path}/dead/callbacks.db").schema is SchemaState.CURRENT
    after = contents(tmp_path / "dead")
    assert after.pop("callbacks.db-shm") is not None  # holds the locks of readers
    before.pop("callbacks.db-shm")
    assert after == before


def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    info = inspect(f"sqlite:///{tmp_path}/not/yet/callbacks.db")
    assert (info.there, info.schema) == (False, SchemaState.EMPTY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["no database", "a folder", "below a file", "a loop"])
def test_a_path_that_can_be_no_database_is_reported(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "callbacks.db"
    if kind == "no database":
        file.write_text("a letter to grandmother, of more than a hundred signs " * 3)
    elif kind == "a folder":
        file.mkdir()
    elif kind == "below a file":
        file.write_text("")
        file = file / "below.db"
    else:
        file.symlink_to("other.db")
        (tmp_path / "other.db").symlink_to(file)
    with pytest.raises(DatabaseError, match=r"^DATABASE_URL: .*: give "):
        inspect(f"sqlite:///{file}")


def test_an_unreachable_server_is_reported_without_the_password() -> None:
    with pytest.raises(DatabaseError) as refused:
        inspect("postgresql+psycopg://callback:top-secret@127.0.0.1:1/callbacks")
    assert "check that the server runs" in str(refused.value)
    assert "top-secret" not in str(refused.value)


def test_a_read_only_server_and_a_user_without_write_privileges_are_reported(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    Outbox.open(url).close()
    address = make_url(url)
    name = address.database
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE reader_of_{name} LOGIN"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_{name}"))
    with pytest.raises(DatabaseError, match="this user may not write"):
        inspect(address.set(username=f"reader_of_{name}").render_as_string(hide_password=False))
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    engine.dispose()
    with pytest.raises(DatabaseError, match="this server is read-only"):
        inspect(url)
