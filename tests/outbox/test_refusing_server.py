"""A PostgreSQL that is full or may only be read: nothing is accepted, and it begins again by itself."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from app.errors import UnavailableError
from app.outbox.database import open_database
from app.outbox.migrate import migrate
from app.outbox.outbox import Outbox
from tests.databases import PostgreSQL
from tests.outbox.factories import NOW, callback, rules
from tests.outbox.small_server import small_server
from tests.routes.refusal import assert_refused
from tests.running import AT_ONCE, phone, service, settings, until

_THROW_OUT = """
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
    """As the standby of a failover: who is connected is thrown out, and sessions that begin now may only read."""
    name = psycopg.conninfo.conninfo_to_dict(url.replace("+psycopg", ""))["dbname"]
    if on:
        run(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on", _THROW_OUT)
    else:
        run(url, f"ALTER DATABASE {name} RESET default_transaction_read_only")


def read_only_server(url: str, *, on: bool) -> None:
    """As some hosting services do it to a server that runs out of room: sessions there are may only read from now."""
    value = "SET default_transaction_read_only = on" if on else "RESET default_transaction_read_only"
    run(url, f"ALTER SYSTEM {value}", "SELECT pg_reload_conf()")


@pytest.fixture
def url(postgresql: PostgreSQL) -> str:
    return postgresql.new_database()


@contextmanager
def outbox_at(url: str, patience: float) -> Iterator[Outbox]:
    database = open_database(url)
    migrate(database.writing)
    outbox = Outbox(database, patience=patience)
    yield outbox
    outbox.close()


async def until_it_can(outbox: Outbox, *, write: bool) -> None:
    """Wait until sessions there are have read the new setting; fails after 20 s."""
    async with asyncio.timeout(20):
        while True:
            try:
                await outbox.check()
                can = True
            except UnavailableError:
                can = False
            if can == write:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("read_only", [read_only_database, read_only_server])
async def test_a_server_that_may_only_be_read_refuses_all_and_is_used_again_once_it_may_be_written(
    url: str, read_only: Callable[..., None]
) -> None:
    with outbox_at(url, patience=0.3) as outbox:
        first = await outbox.accept(callback(), None, rules())
        assert await outbox.waiting() == 1, "who has only read so far must not write afterwards either"
        read_only(url, on=True)
        try:
            await until_it_can(outbox, write=False)
            many = [outbox.accept(callback(client_phone=f"7916000000{number}"), None, rules()) for number in range(9)]
            answers = await asyncio.gather(*many, return_exceptions=True)
            assert {(type(answer), getattr(answer, "code", None)) for answer in answers} == {
                (UnavailableError, "storage_unavailable")
            }
            with pytest.raises(UnavailableError):
                await outbox.claim_due(NOW, max_delay=NOW - NOW, lease=NOW - NOW, limit=9)
            glimpse = await outbox.callback_status(first.id)
            assert glimpse is not None, "it still answers questions"
        finally:
            read_only(url, on=False)
        await until_it_can(outbox, write=True)
        accepted = await outbox.accept(callback(client_phone="79160000002"), None, rules())
        assert await outbox.waiting() == 2
        assert await outbox.callback_status(accepted.id) is not None


async def test_a_failover_that_is_over_soon_is_noticed_by_nobody(url: str) -> None:
    with outbox_at(url, patience=30) as outbox:
        read_only_database(url, on=True)
        asked = asyncio.ensure_future(outbox.accept(callback(), None, rules()))
        done, _ = await asyncio.wait([asked], timeout=0.5)
        assert not done
        read_only_database(url, on=False)
        accepted = await asked
        assert (await outbox.waiting(), accepted.duplicate) == (1, False)


def test_visitors_are_told_503_and_accepted_again_without_a_restart(tmp_path: Path, url: str) -> None:
    database = open_database(url)
    migrate(database.writing)
    outbox = Outbox(database, patience=0.3)
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
        until(lambda: here.http.get("/readyz").json()["database"] == "ok")


async def accept_until_refused(outbox: Outbox) -> int:
    """Use up what room there is left in pages; give how many were accepted."""
    for number in range(5000):
        # A page has 8 KiB: a few rows fill one, and the next one needs room.
        wish = callback(client_phone=f"7916{number:07}", active_page="x" * 1900, client_bucket=str(number))
        try:
            await outbox.accept(wish, None, rules())
        except UnavailableError as refused:
            if refused.code == "storage_unavailable":
                return number
            raise
    pytest.fail("the disk is never full")


async def full_and_well_again(url: str, fill: Callable[[], None], make_room: Callable[[], None]) -> None:
    with outbox_at(url, patience=120) as outbox:
        fill()
        async with asyncio.timeout(60):  # waiting is no use, so it is told at once, and not when patience ends
            accepted = await accept_until_refused(outbox)
        assert await outbox.waiting() == accepted, "no answer without a commit"
        make_room()
        await outbox.accept(callback(client_phone="79169999999", site="blog"), None, rules())
        assert await outbox.waiting() == accepted + 1


async def test_a_server_that_says_its_disk_is_full(url: str) -> None:
    await full_and_well_again(url, lambda: run(url, _FULL), lambda: run(url, "DROP TRIGGER full_disk ON callbacks"))


async def test_a_server_whose_disk_is_full(url: str) -> None:
    with small_server() as small:
        if small is not None:
            await full_and_well_again(small.url, small.fill, small.make_room)
            return
    # A machine that lets nobody mount: the server is made to say what it would say then.
    await full_and_well_again(url, lambda: run(url, _FULL), lambda: run(url, "DROP TRIGGER full_disk ON callbacks"))
