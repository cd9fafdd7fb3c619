"""A full or read-only PostgreSQL: nothing is accepted, and the service recovers without a restart."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from app.errors import UnavailableError
from app.outbox.database import open_database
from app.outbox.migrate import migrate
from tests.databases import PostgreSQL
from tests.outbox.factories import CAP, NOW, InspectableOutbox, callback, distinct
from tests.outbox.small_server import small_server
from tests.routes.refusal import assert_refused
from tests.running import AT_ONCE, AUTHORIZED, phone, service, settings, until

_DISCONNECT = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON callbacks EXECUTE FUNCTION full_disk();
"""


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            connection.execute(statement)


def read_only_database(url: str, *, on: bool) -> None:
    """Make a database read-only as in a failover: sessions are terminated, and new ones are read-only."""
    name = psycopg.conninfo.conninfo_to_dict(url.replace("+psycopg", ""))["dbname"]
    if on:
        run(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on", _DISCONNECT)
    else:
        run(url, f"ALTER DATABASE {name} RESET default_transaction_read_only")


def read_only_server(url: str, *, on: bool) -> None:
    """Make a server read-only as some hosting services do when its disk is full: existing sessions change too."""
    value = "SET default_transaction_read_only = on" if on else "RESET default_transaction_read_only"
    run(url, f"ALTER SYSTEM {value}", "SELECT pg_reload_conf()")


@pytest.fixture
def url(postgresql: PostgreSQL) -> str:
    return postgresql.new_database()


@contextmanager
def outbox_at(url: str, retry_for: float) -> Iterator[InspectableOutbox]:
    database = open_database(url)
    migrate(database.writing)
    outbox = InspectableOutbox(database, retry_for=retry_for)
    yield outbox
    outbox.close()


async def wait_for_writes(outbox: InspectableOutbox, *, accepted: bool) -> None:
    """Wait until existing sessions have read the new setting; fail after 20 s."""
    async with asyncio.timeout(20):
        while True:
            try:
                await outbox.check()
                can_write = True
            except UnavailableError:
                can_write = False
            if can_write == accepted:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("read_only", [read_only_database, read_only_server])
async def test_a_read_only_server_refuses_all_writes_until_it_is_writable_again(
    url: str, read_only: Callable[..., None]
) -> None:
    with outbox_at(url, retry_for=0.3) as outbox:
        first = await outbox.admit(callback())
        assert await outbox.waiting() == 1, "a session that has only read must become read-only too"
        read_only(url, on=True)
        try:
            await wait_for_writes(outbox, accepted=False)
            many = [outbox.admit(callback(client_phone=f"7916000000{number}")) for number in range(9)]
            answers = await asyncio.gather(*many, return_exceptions=True)
            assert {(type(answer), getattr(answer, "code", None)) for answer in answers} == {
                (UnavailableError, "storage_unavailable")
            }
            with pytest.raises(UnavailableError):
                await outbox.claim_due(NOW, max_delay=NOW - NOW, lease=NOW - NOW, limit=9, cap=CAP)
            current = await outbox.callback_status(first.id)
            assert current is not None, "it still answers queries"
        finally:
            read_only(url, on=False)
        await wait_for_writes(outbox, accepted=True)
        accepted = await outbox.admit(callback(client_phone="79160000002"))
        assert await outbox.waiting() == 2
        assert await outbox.callback_status(accepted.id) is not None


async def test_a_short_failover_fails_no_request(url: str) -> None:
    with outbox_at(url, retry_for=30) as outbox:
        read_only_database(url, on=True)
        asked = asyncio.ensure_future(outbox.admit(callback()))
        done, _ = await asyncio.wait([asked], timeout=0.5)
        assert not done
        read_only_database(url, on=False)
        accepted = await asked
        assert (await outbox.waiting(), accepted.duplicate) == (1, False)


def test_visitors_get_503_and_are_accepted_again_without_a_restart(tmp_path: Path, url: str) -> None:
    database = open_database(url)
    migrate(database.writing)
    outbox = InspectableOutbox(database, retry_for=0.3)
    with service(settings(tmp_path), outbox=outbox, poll_interval=AT_ONCE) as here:
        assert here.ask(client_phone=phone()).status_code == 202
        read_only_database(url, on=True)
        try:
            answer = here.ask(client_phone=phone())
            assert_refused(answer, 503, "storage_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert here.http.get("/readyz").status_code == 503
        finally:
            read_only_database(url, on=False)
        assert here.ask(client_phone=phone()).status_code == 202
        until(lambda: here.http.get("/readyz", headers=AUTHORIZED).json()["database"] == "ok")


async def accept_until_refused(outbox: InspectableOutbox) -> int:
    """Accept requests until the disk is full; return how many were accepted."""
    for number in range(5000):
        # A page has 8 KiB: a few rows fill one, and the next one needs disk space.
        request = distinct(number, active_page="x" * 1900)
        try:
            await outbox.admit(request)
        except UnavailableError as refused:
            if refused.code == "storage_unavailable":
                return number
            raise
    pytest.fail("the disk is never full")


async def check_recovery_from_full_disk(url: str, fill: Callable[[], None], make_room: Callable[[], None]) -> None:
    with outbox_at(url, retry_for=120) as outbox:
        fill()
        async with asyncio.timeout(60):  # a retry can't help, so the error comes before `retry_for` ends
            accepted = await accept_until_refused(outbox)
        assert await outbox.waiting() == accepted, "no answer without a commit"
        make_room()
        await outbox.admit(callback(client_phone="79169999999", site="blog"))
        assert await outbox.waiting() == accepted + 1


async def test_a_server_that_reports_a_full_disk_is_used_again_once_it_has_room(url: str) -> None:
    await check_recovery_from_full_disk(
        url, lambda: run(url, _FULL), lambda: run(url, "DROP TRIGGER full_disk ON callbacks")
    )


async def test_a_server_with_a_full_disk_is_used_again_once_it_has_room(url: str) -> None:
    with small_server() as small:
        if small is not None:
            await check_recovery_from_full_disk(small.url, small.fill, small.make_room)
            return
    # Mounting is forbidden on this machine: simulate the server's error by a trigger.
    await check_recovery_from_full_disk(
        url, lambda: run(url, _FULL), lambda: run(url, "DROP TRIGGER full_disk ON callbacks")
    )
