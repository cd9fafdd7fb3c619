"""Opening, migrating, locking; and what the writer does when the database can't take a write."""

import asyncio
import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url

from app.errors import UnavailableError
from app.outbox.callback import RequestKey
from app.outbox.database import Database, DatabaseError, open_database
from app.outbox.migrate import migrate
from app.outbox.outbox import Outbox
from app.outbox.schema import metadata
from app.outbox.writer import Writer
from tests.databases import PostgreSQL
from tests.outbox.factories import InspectableOutbox, callback, rules


def test_the_migrations_make_the_tables_of_the_schema(database_url: str) -> None:
    database = open_database(database_url)
    migrate(database.writing)
    migrate(database.writing)
    with database.writing.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_a_second_process_on_sqlite_is_refused_with_the_reason(tmp_path: Path) -> None:
    first = Outbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    try:
        code = "import sys; from app.outbox.database import open_database; open_database(sys.argv[1])"
        second = subprocess.run(
            [sys.executable, "-c", code, f"sqlite:///{tmp_path}/callbacks.db"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "another process already works on" in second.stderr
        assert "PostgreSQL" in second.stderr
    finally:
        first.close()
    Outbox.open(f"sqlite:///{tmp_path}/callbacks.db").close()


@pytest.mark.parametrize("linked", ["folder", "file", "folder and file"])
def test_a_second_process_is_refused_by_whatever_link_it_comes(tmp_path: Path, linked: str) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "callbacks.db"
    (tmp_path / "folder").symlink_to("data")
    (tmp_path / "other.db").symlink_to(file)
    (tmp_path / "data" / "third.db").symlink_to("callbacks.db")
    link = {"folder": "folder/callbacks.db", "file": "other.db", "folder and file": "folder/third.db"}[linked]
    first = Outbox.open(f"sqlite:///{tmp_path / link}")  # the file is not there yet
    try:
        for again in (file, tmp_path / link):
            with pytest.raises(DatabaseError, match="another process already works on"):
                open_database(f"sqlite:///{again}")
    finally:
        first.close()
    assert {path.name for path in tmp_path.iterdir()} == {"data", "folder", "other.db"}
    Outbox.open(f"sqlite:///{file}").close()


def test_links_in_a_circle_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.db").symlink_to("two.db")
    (tmp_path / "two.db").symlink_to("one.db")
    with pytest.raises(DatabaseError, match="lead nowhere"):
        open_database(f"sqlite:///{tmp_path}/one.db")


def test_sqlite_is_opened_durable(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/callbacks.db")
    with database.writing.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    with database.reading.connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.execute(text("CREATE TABLE t (a)"))
    database.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="can't write in"):
        open_database(f"sqlite:///{tmp_path}/file/callbacks.db")


def test_a_server_that_is_not_there_is_told_in_one_line_without_the_password() -> None:
    with pytest.raises(DatabaseError) as refused:
        Outbox.open("postgresql+psycopg://user:hunter22@127.0.0.1:1/callbacks")
    assert "hunter22" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.fixture
def database(database_url: str) -> Database:
    return open_database(database_url)


async def test_work_that_breaks_takes_nobody_else_with_it(database: Database) -> None:
    with database.writing.begin() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER PRIMARY KEY)"))
    writer = Writer(database.writing)

    def insert(number: int, connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (:a)"), {"a": number})
        if number == 7:
            raise ValueError("seven")

    works = [writer.run(partial(insert, number % 20)) for number in range(40)]
    answers = await asyncio.gather(*works, return_exceptions=True)
    assert sum(isinstance(answer, ValueError) for answer in answers) == 2
    assert sum(isinstance(answer, UnavailableError) for answer in answers) == 19, "each number a second time"
    with database.reading.connect() as connection:
        stored = [row.a for row in connection.execute(text("SELECT a FROM t ORDER BY a"))]
    assert stored == [number for number in range(20) if number != 7]
    writer.close()
    database.close()


async def test_a_database_that_refuses_writes_gives_503_and_is_used_again_once_it_can(tmp_path: Path) -> None:
    path = tmp_path / "callbacks.db"
    outbox = InspectableOutbox.open(f"sqlite:///{path}")
    outbox.execute(text("PRAGMA max_page_count = 1"))
    wishes = [callback(client_phone=f"7916{number:07}", active_page="x" * 2000) for number in range(400)]
    answers = await asyncio.gather(*(outbox.accept(wish, None, rules()) for wish in wishes), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, UnavailableError)]
    assert {(answer.code, answer.status) for answer in refused} == {("storage_unavailable", 503)}
    assert await outbox.waiting() == 400 - len(refused)
    outbox.execute(text("PRAGMA max_page_count = 1000000"))
    accepted = await outbox.accept(callback(client_phone="79169999999"), None, rules())
    assert await outbox.callback_status(accepted.id) is not None
    outbox.close()


async def test_a_lock_that_lasts_is_told_to_all_who_wait_at_once(tmp_path: Path) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    outbox.execute(text("PRAGMA busy_timeout = 200"))
    intruder = sqlite3.connect(tmp_path / "callbacks.db", isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    wishes = [callback(client_phone=f"7916{number:07}") for number in range(60)]
    asked = asyncio.gather(*(outbox.accept(wish, None, rules()) for wish in wishes), return_exceptions=True)
    async with asyncio.timeout(60 * 0.2):  # what it would take if each were tried alone
        answers = await asked
    assert {type(answer) for answer in answers} == {UnavailableError}
    intruder.execute("ROLLBACK")
    intruder.close()
    assert (await outbox.accept(wishes[0], None, rules())).id == wishes[0].id
    outbox.close()


async def test_a_server_that_throws_us_out_during_a_commit_costs_nobody_their_request(postgresql: PostgreSQL) -> None:
    database = open_database(postgresql.new_database())
    migrate(database.writing)
    thrown_out = []

    def throw_out(connection: Connection) -> None:
        if len(thrown_out) < 2:
            thrown_out.append(connection.scalar(text("SELECT pg_backend_pid()")))
            with database.reading.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": thrown_out[-1]})

    event.listen(database.writing, "commit", throw_out)
    outbox = Outbox(database)
    wishes = [callback(client_phone=f"7916{number:07}") for number in range(20)]
    answers = await asyncio.gather(*(outbox.accept(wish, None, rules()) for wish in wishes))
    assert [answer.id for answer in answers] == [wish.id for wish in wishes]
    assert not any(answer.duplicate for answer in answers)
    assert await outbox.waiting() == 20
    assert len(thrown_out) == 2
    outbox.close()


async def test_a_server_that_stays_away_is_told_as_503_after_some_patience(tmp_path: Path) -> None:
    server = PostgreSQL(tmp_path / "data")
    database = open_database(server.new_database())
    migrate(database.writing)
    outbox = Outbox(database, patience=0.2)
    server.stop()
    with pytest.raises(UnavailableError) as refused:
        await outbox.accept(callback(), None, rules())
    assert refused.value.code == "storage_unavailable"
    with pytest.raises(UnavailableError):
        await outbox.callback_status("x")
    outbox.close()


async def test_everything_that_waits_is_written_before_closing(database_url: str) -> None:
    outbox = Outbox.open(database_url)
    waiting = [
        asyncio.ensure_future(outbox.accept(callback(client_phone=f"7916{number:07}"), None, rules()))
        for number in range(50)
    ]
    await asyncio.sleep(0)
    await asyncio.to_thread(outbox.close)
    assert len(await asyncio.gather(*waiting)) == 50
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM callbacks")).scalar() == 50
    engine.dispose()


async def test_who_waits_for_a_database_that_does_not_answer_is_told(database_url: str) -> None:
    database = open_database(database_url)
    migrate(database.writing)
    outbox = Outbox(database, timeout=0.1)
    go_on = threading.Event()
    returned = threading.Event()
    for engine in (database.writing, database.reading):
        event.listen(engine, "begin", lambda _: go_on.wait(30))
    event.listen(database.reading, "checkin", lambda *_: returned.set())
    wish, key = callback(), RequestKey("site:shop", "one", "a" * 64)
    with pytest.raises(UnavailableError) as refused:
        await outbox.accept(wish, key, rules())
    assert (refused.value.code, refused.value.retry_after) == ("storage_unavailable", 5)
    with pytest.raises(UnavailableError) as refused:
        await outbox.callback_status(wish.id)
    assert (refused.value.code, refused.value.retry_after) == ("storage_unavailable", 5)
    go_on.set()
    await asyncio.to_thread(returned.wait, 10)
    outbox.close()
    patient = Outbox.open(database_url)
    assert (await patient.accept(callback(), key, rules())).id == wish.id, "it was stored meanwhile"
    patient.close()


def test_a_connection_that_waits_for_an_answer_notices_that_the_server_is_gone(postgresql: PostgreSQL) -> None:
    with relay_to(postgresql.new_database()) as url:
        database = open_database(url)
        for engine in (database.writing, database.reading):
            with engine.connect() as connection:
                number = connection.connection.dbapi_connection.fileno()  # type: ignore[union-attr]
                with socket.socket(fileno=os.dup(number)) as wire:
                    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                    assert [wire.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [5, 2, 3]
        database.close()


@contextmanager
def relay_to(url: str) -> Iterator[str]:
    """Lead a TCP port to the Unix socket of a server, whose address is given and comes back changed."""
    address = make_url(url)
    path = f"{address.query['host']}/.s.PGSQL.{address.port or 5432}"

    def pump(source: socket.socket, to: socket.socket) -> None:
        with source, to:
            while said := source.recv(65536):
                to.sendall(said)
            to.shutdown(socket.SHUT_WR)
            source.close()

    def serve() -> None:
        with contextlib.suppress(OSError):  # the listener was closed: the test is over
            while True:
                near = listening.accept()[0]
                far = socket.socket(socket.AF_UNIX)
                far.connect(path)
                for pair in ((near.dup(), far.dup()), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        plain = address.set(host="127.0.0.1", port=listening.getsockname()[1], query={})
        yield plain.render_as_string(hide_password=False)
        listening.shutdown(socket.SHUT_RDWR)
