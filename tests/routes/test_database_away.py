"""What a caller is told when the fault is ours: 500 for what nobody expected, 503 when nothing can be written down."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from app.outbox.outbox import Outbox
from tests.routes.refusal import CANARY, assert_cors, assert_protected, assert_refused
from tests.running import ORIGIN, Service, phone, service, settings, until

_MORE_THAN_MAY_WAIT = 10_500
"""Pieces of work; at most 10,000 wait for the writer, and 256 are in its hands."""


class BreakingClock:
    """A clock that can be broken, and that lets a test do something on the event loop of the service."""

    broken = False
    once: Callable[[], None] | None = None

    def __call__(self) -> datetime:
        if self.broken:
            raise RuntimeError(CANARY)
        if self.once is not None:
            now, self.once = self.once, None
            now()
        return datetime.now(UTC)


@pytest.fixture(scope="module")
def clock() -> BreakingClock:
    return BreakingClock()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unavailable")


@pytest.fixture(scope="module")
def outbox(folder: Path) -> Outbox:
    """The outbox of the service, which closes it."""
    return Outbox.open(f"sqlite:///{folder / 'callbacks.db'}")


@pytest.fixture(scope="module")
def here(folder: Path, clock: BreakingClock, outbox: Outbox) -> Iterator[Service]:
    with service(settings(folder), clock=clock, outbox=outbox) as running:
        yield running


@pytest.fixture
def broken_clock(here: Service, clock: BreakingClock) -> Iterator[None]:
    clock.broken = True
    yield
    clock.broken = False


@pytest.fixture
def lost_table(here: Service, folder: Path) -> Iterator[None]:
    """Take the table of callbacks away under the running service, and bring it back."""
    with _foreign(folder) as database:
        database.execute("ALTER TABLE callbacks RENAME TO gone")
    yield
    with _foreign(folder) as database:
        database.execute("ALTER TABLE gone RENAME TO callbacks")


@contextlib.contextmanager
def _foreign(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection of another program to the service's database, within a transaction that keeps all others out."""
    with contextlib.closing(sqlite3.connect(folder / "callbacks.db", timeout=10, isolation_level=None)) as database:
        database.execute("PRAGMA legacy_alter_table = ON")  # leave the references of other tables alone
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")


@pytest.mark.usefixtures("broken_clock")
def test_an_error_nobody_expected_is_500_without_its_text(here: Service) -> None:
    assert_refused(here.ask(client_phone=phone()), 500, "internal")
    assert_refused(here.http.get("/v1/sites/shop"), 500, "internal")


def test_after_an_error_the_service_goes_on(here: Service, clock: BreakingClock) -> None:
    clock.broken = True
    assert here.ask(client_phone=phone()).status_code == 500
    clock.broken = False
    assert here.ask(client_phone=phone()).status_code == 202


@pytest.mark.usefixtures("lost_table")
def test_what_can_not_be_written_down_is_503_and_nothing_is_accepted(here: Service) -> None:
    assert_refused(here.ask(client_phone=phone()), 503, "storage_unavailable")


@pytest.mark.usefixtures("lost_table")
def test_what_can_not_be_read_is_503(here: Service) -> None:
    answer = here.http.get("/v1/callbacks/01a2079c-bf03-7387-8e96-29518fb19998", headers={"origin": ORIGIN})
    assert_refused(answer, 503, "storage_unavailable")


@pytest.mark.usefixtures("lost_table")
def test_a_service_that_can_not_store_is_alive_but_not_ready(here: Service) -> None:
    assert here.http.get("/livez").status_code == 200
    answer = here.http.get("/readyz", headers={"origin": ORIGIN})
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "database": "unavailable",
        "delivery": "ok",
        "sites": {"shop": "ok"},
    }
    assert_protected(answer)
    assert_cors(answer)


def test_a_visitor_can_try_again_when_the_database_is_back(here: Service, folder: Path) -> None:
    number = phone()
    with _foreign(folder) as database:
        database.execute("ALTER TABLE callbacks RENAME TO gone")
    assert here.ask(client_phone=number, request_id="once-more").status_code == 503
    with _foreign(folder) as database:
        database.execute("ALTER TABLE gone RENAME TO callbacks")
    again = here.ask(client_phone=number, request_id="once-more")
    assert again.status_code == 202
    assert not again.json()["duplicate"]
    assert "idempotency-replayed" not in again.headers


def test_when_too_many_wait_for_the_database_the_next_is_told_to_come_back(
    here: Service, folder: Path, outbox: Outbox, clock: BreakingClock
) -> None:
    crowds: list[asyncio.Future[list[BaseException | None]]] = []

    def asked_of_a_full_queue() -> httpx2.Response:
        clock.once = lambda: crowds.append(
            asyncio.gather(*(outbox.check() for _ in range(_MORE_THAN_MAY_WAIT)), return_exceptions=True)
        )
        assert here.http.get("/v1/sites/shop").is_success
        return here.ask(client_phone=phone())

    with _foreign(folder):
        answer = asked_of_a_full_queue()
        if answer.json()["code"] != "overloaded":  # on a busy machine the writer has turned to the next 256 meanwhile
            answer = asked_of_a_full_queue()
        assert_refused(answer, 503, "overloaded")
    until(lambda: all(crowd.done() for crowd in crowds), within=120)
    assert here.ask(client_phone=phone()).status_code == 202


def test_a_database_that_another_program_locks_for_a_moment_is_waited_for(here: Service, folder: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        with _foreign(folder):
            waiting = thread.submit(here.ask, client_phone=phone())
            assert here.http.get("/livez").status_code == 200  # only what writes has to wait
            time.sleep(0.5)
            assert not waiting.done()
        assert waiting.result().status_code == 202
