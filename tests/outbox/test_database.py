"""Opening, migrating and locking the database, and errors of the writer."""

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
from importlib.metadata import version
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url

from app.errors import UnavailableError
from app.outbox.callback import RequestKey
from app.outbox.database import Database, DatabaseError, open_database
from app.outbox.group_commit import GroupCommit
from app.outbox.migrate import migrate
from app.outbox.schema import metadata
from tests.databases import PostgreSQL
from tests.outbox.factories import InspectableOutbox, callback, distinct


def test_the_migrations_create_the_tables_of_the_schema(database_url: str) -> None:
    database = open_database(database_url)
    migrate(database.writing)
    migrate(database.writing)
    with database.writing.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_a_second_process_on_sqlite_is_refused_with_the_reason(tmp_path: Path) -> None:
    first = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
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
    InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db").close()


@pytest.mark.parametrize("linked", ["folder", "file", "folder and file"])
def test_a_second_process_is_refused_through_any_symbolic_link(tmp_path: Path, linked: str) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "callbacks.db"
    (tmp_path / "folder").symlink_to("data")
    (tmp_path / "other.db").symlink_to(file)
    (tmp_path / "data" / "third.db").symlink_to("callbacks.db")
    link = {"folder": "folder/callbacks.db", "file": "other.db", "folder and file": "folder/third.db"}[linked]
    first = InspectableOutbox.open(f"sqlite:///{tmp_path / link}")  # the file is not there yet
    try:
        for again in (file, tmp_path / link):
            with pytest.raises(DatabaseError, match="another process already works on"):
                open_database(f"sqlite:///{again}")
    finally:
        first.close()
    assert {path.name for path in tmp_path.iterdir()} == {"data", "folder", "other.db"}
    InspectableOutbox.open(f"sqlite:///{file}").close()


def test_a_loop_of_links_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.db").symlink_to("two.db")
    (tmp_path / "two.db").symlink_to("one.db")
    with pytest.raises(DatabaseError, match="lead nowhere"):
        open_database(f"sqlite:///{tmp_path}/one.db")


def test_sqlite_is_opened_with_durable_settings(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/callbacks.db")
    with database.writing.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    with database.reading.connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.execute(text("CREATE TABLE t (a)"))
    database.close()


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="can't write in"):
        open_database(f"sqlite:///{tmp_path}/file/callbacks.db")


def test_an_unreachable_server_is_reported_in_one_line_without_the_password() -> None:
    with pytest.raises(DatabaseError) as refused:
        InspectableOutbox.open("postgresql+psycopg://user:hunter22@127.0.0.1:1/callbacks")
    assert "hunter22" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.fixture
def database(database_url: str) -> Database:
    opened = open_database(database_url)
    migrate(opened.writing)
    return opened


async def test_failing_work_does_not_affect_other_work_of_its_batch(database: Database) -> None:
    with database.writing.begin() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER PRIMARY KEY)"))
    writer = GroupCommit(database.writing)

    def insert(number: int, connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (:a)"), {"a": number})
        if number == 7:
            raise ValueError("seven")

    pending = [writer.run(partial(insert, number % 20)) for number in range(40)]
    answers = await asyncio.gather(*pending, return_exceptions=True)
    assert sum(isinstance(answer, ValueError) for answer in answers) == 2
    assert sum(isinstance(answer, UnavailableError) for answer in answers) == 19, "the second insert of each number"
    with database.reading.connect() as connection:
        stored = [row.a for row in connection.execute(text("SELECT a FROM t ORDER BY a"))]
    assert stored == [number for number in range(20) if number != 7]
    writer.close()
    database.close()


async def test_a_database_that_refuses_writes_causes_503_until_it_accepts_them_again(tmp_path: Path) -> None:
    path = tmp_path / "callbacks.db"
    outbox = InspectableOutbox.open(f"sqlite:///{path}")
    outbox.execute(text("PRAGMA max_page_count = 1"))
    requests = [distinct(number, active_page="x" * 2000) for number in range(400)]
    answers = await asyncio.gather(*(outbox.admit(request) for request in requests), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, UnavailableError)]
    assert {(answer.code, answer.status) for answer in refused} == {("storage_unavailable", 503)}
    assert await outbox.waiting() == 400 - len(refused)
    outbox.execute(text("PRAGMA max_page_count = 1000000"))
    accepted = await outbox.admit(callback(client_phone="79169999999"))
    assert await outbox.callback_status(accepted.id) is not None
    outbox.close()


async def test_a_lasting_lock_fails_all_waiting_requests_at_once(tmp_path: Path) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    outbox.execute(text("PRAGMA busy_timeout = 200"))
    intruder = sqlite3.connect(tmp_path / "callbacks.db", isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    requests = [distinct(number) for number in range(60)]
    asked = asyncio.gather(*(outbox.admit(request) for request in requests), return_exceptions=True)
    async with asyncio.timeout(60 * 0.2):  # less than retrying each of them alone would take
        answers = await asked
    assert {type(answer) for answer in answers} == {UnavailableError}
    intruder.execute("ROLLBACK")
    intruder.close()
    assert (await outbox.admit(requests[0])).id == requests[0].id
    outbox.close()


async def test_no_request_is_lost_when_the_server_disconnects_during_a_commit(postgresql: PostgreSQL) -> None:
    database = open_database(postgresql.new_database())
    migrate(database.writing)
    disconnected = []

    def disconnect(connection: Connection) -> None:
        if len(disconnected) < 2:
            disconnected.append(connection.scalar(text("SELECT pg_backend_pid()")))
            with database.reading.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": disconnected[-1]})

    event.listen(database.writing, "commit", disconnect)
    outbox = InspectableOutbox(database)
    requests = [distinct(number) for number in range(20)]
    answers = await asyncio.gather(*(outbox.admit(request) for request in requests))
    assert [answer.id for answer in answers] == [request.id for request in requests]
    assert not any(answer.duplicate for answer in answers)
    assert await outbox.waiting() == 20
    assert len(disconnected) == 2
    outbox.close()


async def test_a_server_that_stays_unavailable_causes_503_after_the_time_for_retries(tmp_path: Path) -> None:
    server = PostgreSQL(tmp_path / "data")
    database = open_database(server.new_database())
    migrate(database.writing)
    outbox = InspectableOutbox(database, retry_for=0.2)
    server.stop()
    with pytest.raises(UnavailableError) as refused:
        await outbox.admit(callback())
    assert refused.value.code == "storage_unavailable"
    with pytest.raises(UnavailableError):
        await outbox.callback_status("x")
    outbox.close()


async def test_queued_requests_are_written_before_closing(database_url: str) -> None:
    outbox = InspectableOutbox.open(database_url)
    waiting = [asyncio.ensure_future(outbox.admit(distinct(number))) for number in range(50)]
    await asyncio.sleep(0)
    await asyncio.to_thread(outbox.close)
    assert len(await asyncio.gather(*waiting)) == 50
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM callbacks")).scalar() == 50
    engine.dispose()


async def test_a_database_that_does_not_answer_causes_503_after_the_timeout(database_url: str) -> None:
    database = open_database(database_url)
    migrate(database.writing)
    outbox = InspectableOutbox(database, timeout=0.1)
    go_on = threading.Event()
    returned = threading.Event()
    for engine in (database.writing, database.reading):
        event.listen(engine, "begin", lambda _: go_on.wait(30))
    event.listen(database.reading, "checkin", lambda *_: returned.set())
    request, key = callback(), RequestKey("site:shop", "one", "a" * 64)
    with pytest.raises(UnavailableError) as refused:
        await outbox.admit(request, key)
    assert (refused.value.code, refused.value.retry_after) == ("storage_unavailable", 5)
    with pytest.raises(UnavailableError) as refused:
        await outbox.callback_status(request.id)
    assert (refused.value.code, refused.value.retry_after) == ("storage_unavailable", 5)
    go_on.set()
    await asyncio.to_thread(returned.wait, 10)
    outbox.close()
    patient = InspectableOutbox.open(database_url)
    assert (await patient.admit(callback(), key)).id == request.id, "it was stored meanwhile"
    patient.close()


def test_connections_use_keep_alives_that_detect_a_lost_server(postgresql: PostgreSQL) -> None:
    with relay_to(postgresql.new_database()) as url:
        database = open_database(url)
        for engine in (database.writing, database.reading):
            with engine.connect() as connection:
                number = connection.connection.dbapi_connection.fileno()  # type: ignore[union-attr]
                with socket.socket(fileno=os.dup(number)) as connected:
                    assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                    assert [connected.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [5, 2, 3]
        database.close()


@contextmanager
def relay_to(url: str) -> Iterator[str]:
    """Relay a TCP port to the Unix socket of a server; yield the URL with that port."""
    address = make_url(url)
    path = f"{address.query['host']}/.s.PGSQL.{address.port or 5432}"

    def pump(source: socket.socket, to: socket.socket) -> None:
        with source, to:
            while data := source.recv(65536):
                to.sendall(data)
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


def test_connections_are_named_by_the_version_even_if_the_address_names_them(postgresql: PostgreSQL) -> None:
    """An upgrade tells the processes of older versions from its own by this name."""
    database = open_database(f"{postgresql.new_database()}&application_name=other")
    for engine in (database.writing, database.reading):
        with engine.connect() as connection:
            name = connection.scalar(text("SELECT current_setting('application_name')"))
            assert name == f"chaser-callback/{version('chaser-callback')}"
    database.close()
