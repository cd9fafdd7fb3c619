"""Copying a database: every row arrives once, and at most one of the two databases can be used."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, select, text

from app.outbox import database
from app.outbox.copying import NotCopied, Progress, copy_database, public_name
from app.outbox.database import DatabaseError, open_database
from app.outbox.handover import mark_moved
from app.outbox.migrate import migrate
from app.outbox.outbox import Outbox
from app.outbox.schema import metadata, status_history, writers
from tests.databases import PostgreSQL
from tests.outbox.archive import contents, fill, in_order
from tests.outbox.factories import InspectableOutbox, callback, store

ROWS = 250


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    with closing(open_database(url)) as opened:
        migrate(opened.writing)
        with opened.writing.begin() as connection:
            yield connection


def rows_of(url: str) -> dict[str, list[Any]]:
    with writing(url) as connection:
        rows = contents(connection)
    return in_order(rows)


def ignore_progress(_table: str, _done: int, _total: int) -> None:
    pass


def copy(source: str, target: str, progress: Progress = ignore_progress) -> dict[str, int]:
    return copy_database(source, target, progress, batch=60)


@pytest.fixture(params=["sqlite", "postgresql"])
def source(request: pytest.FixtureRequest, tmp_path: Path, postgresql: PostgreSQL) -> str:
    url = f"sqlite:///{tmp_path}/source.db" if request.param == "sqlite" else postgresql.new_database()
    with writing(url) as connection:
        fill(connection, ROWS)
    return url


@pytest.fixture
def target(source: str, tmp_path: Path, postgresql: PostgreSQL) -> str:
    """Return an empty database of the other kind."""
    return f"sqlite:///{tmp_path}/target.db" if source.startswith("postgresql") else postgresql.new_database()


class Interrupted(Exception):
    pass


def interrupt_at(table: str, rows: int) -> Progress:
    def progress(name: str, done: int, _total: int) -> None:
        if name == table and done >= rows:
            raise Interrupted

    return progress


def test_all_tables_are_equal_after_a_copy_in_either_direction(source: str, target: str) -> None:
    before = rows_of(source)
    steps: list[tuple[str, int, int]] = []
    copied = copy(source, target, lambda *step: steps.append(step))
    assert rows_of(target) == before == rows_of(source)
    assert copied == {name: len(rows) for name, rows in before.items()}
    assert set(copied) == set(metadata.tables) - {writers.name}
    assert [step for step in steps if step[0] == "callbacks"] == [
        ("callbacks", done, ROWS) for done in (60, 120, 180, 240, 250)
    ]


async def test_a_service_on_the_copy_gives_new_ids_to_its_history(source: str, target: str) -> None:
    copy(source, target)
    copied = max(row[0] for row in rows_of(target)["status_history"])
    outbox = InspectableOutbox.open(target)
    try:
        await store(outbox, callback())
        assert max(outbox.scalars(select(status_history.c.id))) > copied
    finally:
        outbox.close()


def test_only_the_target_opens_after_a_copy(source: str, target: str) -> None:
    copy(source, target)
    with pytest.raises(DatabaseError, match=r"was moved to .*: set DATABASE_URL to that one"):
        Outbox.open(source)
    Outbox.open(target).close()
    with pytest.raises(NotCopied, match=r"was moved to .* already"):
        copy(source, target)


@pytest.mark.parametrize(("table", "rows"), [("callbacks", 60), ("used_challenges", 1)])
def test_an_interrupted_copy_leaves_nothing_and_is_run_again(source: str, target: str, table: str, rows: int) -> None:
    before = rows_of(source)
    for _ in range(2):
        with pytest.raises(Interrupted):
            copy(source, target, interrupt_at(table, rows))
        assert not any(rows_of(target).values())
        Outbox.open(source).close()
    before = rows_of(source)
    copy(source, target)
    assert rows_of(target) == before


def test_a_copy_killed_between_the_two_commits_is_finished_by_the_next_run(source: str, target: str) -> None:
    with writing(source) as connection:
        mark_moved(connection, public_name(target))
    with pytest.raises(DatabaseError, match="If `db copy` was killed before it said so, run it again"):
        Outbox.open(source)
    copy(source, target)
    assert rows_of(target) == rows_of(source)
    Outbox.open(target).close()


def test_a_moved_database_is_copied_nowhere_else(source: str, target: str) -> None:
    with writing(source) as connection:
        mark_moved(connection, "postgresql://db.example/callback")
    with pytest.raises(NotCopied, match=r"was moved to postgresql://db\.example/callback: copy from there"):
        copy(source, target)


def test_a_database_with_rows_is_no_target(source: str, target: str) -> None:
    with writing(target) as connection:
        fill(connection, 1)
    before = rows_of(target)
    with pytest.raises(NotCopied, match="is not empty: give a new, empty database"):
        copy(source, target)
    assert rows_of(target) == before
    Outbox.open(source).close()


def test_half_a_copy_of_an_earlier_version_is_no_target_and_starts_no_service(source: str, target: str) -> None:
    with writing(target) as connection:
        mark_moved(connection, public_name(source))
        connection.execute(text("UPDATE moved SET role = 'half'"))
    with pytest.raises(DatabaseError, match=r"this is half a copy of .*: copy that into a new, empty database"):
        Outbox.open(target)
    with pytest.raises(NotCopied, match="is not empty: give a new, empty database"):
        copy(source, target)


def test_a_running_service_at_the_source_prevents_the_copy(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOOKS", 1)
    service = Outbox.open(source)
    try:
        with pytest.raises((NotCopied, DatabaseError), match="stop"):
            copy(source, target)
    finally:
        service.close()


def test_a_running_service_at_the_target_prevents_the_copy(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOOKS", 1)
    service = Outbox.open(target)
    try:
        with pytest.raises((NotCopied, DatabaseError), match="stop"):
            copy(source, target)
    finally:
        service.close()


def test_no_service_starts_during_a_copy(source: str, target: str) -> None:
    refused = []

    def start_one(table: str, done: int, _total: int) -> None:
        if table == "callbacks" and done == 60:
            for url in (source, target):
                with pytest.raises(DatabaseError, match=r"another process already works|is just being copied"):
                    Outbox.open(url)
                refused.append(url)

    copy(source, target, start_one)
    assert refused == [source, target]


def test_a_client_that_reconnects_to_postgresql_prevents_the_handover(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(source if source.startswith("postgresql") else target, poolclass=NullPool)
    reconnected: list[Connection] = []

    try:
        with monkeypatch.context() as patch:

            def reconnect(_table: str, _done: int, _total: int) -> None:
                if not reconnected:
                    patch.setattr(database, "LOOKS", 1)
                    reconnected.append(engine.connect())

            with pytest.raises(NotCopied, match="has 1 other connections of the same user: stop the service"):
                copy(source, target, reconnect)
    finally:
        reconnected[0].close()
    Outbox.open(source).close()
    copy(source, target)
    Outbox.open(target).close()


def test_errors_about_the_target_name_its_option(source: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (f"sqlite:///{tmp_path}/file/x.db", "postgresql+psycopg://callback@127.0.0.1:1/callback"):
        with pytest.raises(DatabaseError, match=r"^--to: "):
            copy(source, wrong)


def test_the_name_of_a_file_does_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert public_name("sqlite:///x.db") == public_name(f"sqlite:///{tmp_path}/x.db") == f"sqlite:///{tmp_path}/x.db"


def test_a_copy_that_lacks_rows_is_not_committed(source: str, target: str) -> None:
    """Triggers swallow a row of the target, as an administrator's own might."""
    with writing(target) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("CREATE FUNCTION swallow() RETURNS trigger AS 'BEGIN RETURN NULL; END' LANGUAGE plpgsql")
            )
            connection.execute(
                text("CREATE TRIGGER swallow BEFORE INSERT ON blocklist FOR EACH ROW EXECUTE FUNCTION swallow()")
            )
        else:
            connection.execute(
                text("CREATE TRIGGER swallow BEFORE INSERT ON blocklist BEGIN SELECT RAISE(IGNORE); END")
            )
    with pytest.raises(NotCopied, match="blocklist has 0 rows after the copy, not 1: run the command again"):
        copy(source, target)
    assert not any(rows_of(target).values())
    Outbox.open(source).close()
