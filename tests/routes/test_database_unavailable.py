"""Errors inside the service: 500 for an unexpected exception, 503 while the database is unavailable."""

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

from tests.outbox.factories import InspectableOutbox
from tests.routes.refusal import CANARY, assert_cors, assert_protected, assert_refused
from tests.running import AUTHORIZED, ORIGIN, Service, phone, service, settings, until

_OVER_QUEUE_LIMIT = 10_500
"""More operations than the writer holds: at most 10,000 are queued, and 256 are in its batch."""


class BreakingClock:
    """A clock that can fail, and that can run a function on the event loop of the service."""

    broken = False
    once: Callable[[], None] | None = None

    def __call__(self) -> datetime:
        if self.broken:
            raise RuntimeError(CANARY)
        if self.once is not None:
            callback, self.once = self.once, None
            callback()
        return datetime.now(UTC)


@pytest.fixture(scope="module")
def clock() -> BreakingClock:
    return BreakingClock()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unavailable")


@pytest.fixture(scope="module")
def outbox(folder: Path) -> InspectableOutbox:
    """The outbox of the service. The service closes it."""
    return InspectableOutbox.open(f"sqlite:///{folder / 'callbacks.db'}")


@pytest.fixture(scope="module")
def here(folder: Path, clock: BreakingClock, outbox: InspectableOutbox) -> Iterator[Service]:
    with service(settings(folder), clock=clock, outbox=outbox) as running:
        yield running


@pytest.fixture
def broken_clock(here: Service, clock: BreakingClock) -> Iterator[None]:
    clock.broken = True
    yield
    clock.broken = False


@pytest.fixture
def lost_table(here: Service, folder: Path) -> Iterator[None]:
    """Rename the table of callbacks while the service runs, and restore it afterwards."""
    with _locked(folder) as database:
        database.execute("ALTER TABLE callbacks RENAME TO gone")
    yield
    with _locked(folder) as database:
        database.execute("ALTER TABLE gone RENAME TO callbacks")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a second connection to the service's database, in a transaction that blocks all other writers."""
    with contextlib.closing(sqlite3.connect(folder / "callbacks.db", timeout=10, isolation_level=None)) as database:
        database.execute("PRAGMA legacy_alter_table = ON")  # leave the references of other tables alone
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")


@pytest.mark.usefixtures("broken_clock")
def test_an_unexpected_exception_is_500_without_its_text(here: Service) -> None:
    assert_refused(here.ask(client_phone=phone()), 500, "internal")
    assert_refused(here.http.get("/v1/sites/shop"), 500, "internal")


def test_the_service_continues_after_an_error(here: Service, clock: BreakingClock) -> None:
    clock.broken = True
    assert here.ask(client_phone=phone()).status_code == 500
    clock.broken = False
    assert here.ask(client_phone=phone()).status_code == 202


@pytest.mark.usefixtures("lost_table")
def test_a_request_that_cannot_be_stored_is_503(here: Service) -> None:
    assert_refused(here.ask(client_phone=phone()), 503, "storage_unavailable")


@pytest.mark.usefixtures("lost_table")
def test_a_callback_that_cannot_be_read_is_503(here: Service) -> None:
    answer = here.http.get("/v1/callbacks/01a2079c-bf03-7387-8e96-29518fb19998", headers={"origin": ORIGIN})
    assert_refused(answer, 503, "storage_unavailable")


@pytest.mark.usefixtures("lost_table")
def test_a_service_without_its_database_is_alive_but_not_ready(here: Service) -> None:
    assert here.http.get("/livez").status_code == 200
    answer = here.http.get("/readyz", headers={"origin": ORIGIN} | AUTHORIZED)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "database": "unavailable",
        "delivery": "ok",
        "sites": {"shop": "ok"},
    }
    assert_protected(answer)
    assert_cors(answer)


def test_a_visitor_can_retry_when_the_database_is_back(here: Service, folder: Path) -> None:
    number = phone()
    with _locked(folder) as database:
        database.execute("ALTER TABLE callbacks RENAME TO gone")
    assert here.ask(client_phone=number, request_id="once-more").status_code == 503
    with _locked(folder) as database:
        database.execute("ALTER TABLE gone RENAME TO callbacks")
    again = here.ask(client_phone=number, request_id="once-more")
    assert again.status_code == 202
    assert not again.json()["duplicate"]
    assert "idempotency-replayed" not in again.headers


def test_a_full_queue_of_writes_refuses_the_next_request(
    here: Service, folder: Path, outbox: InspectableOutbox, clock: BreakingClock
) -> None:
    queued: list[asyncio.Future[list[BaseException | None]]] = []

    def ask_with_full_queue() -> httpx2.Response:
        clock.once = lambda: queued.append(
            asyncio.gather(*(outbox.check() for _ in range(_OVER_QUEUE_LIMIT)), return_exceptions=True)
        )
        assert here.http.get("/v1/sites/shop").is_success
        return here.ask(client_phone=phone())

    with _locked(folder):
        answer = ask_with_full_queue()
        if answer.json()["code"] != "overloaded":  # on a slow machine the writer has taken the next 256 by now
            answer = ask_with_full_queue()
        assert_refused(answer, 503, "overloaded")
    until(lambda: all(future.done() for future in queued), within=120)
    assert here.ask(client_phone=phone()).status_code == 202


def test_a_request_waits_while_another_program_locks_the_database(here: Service, folder: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        with _locked(folder):
            waiting = thread.submit(here.ask, client_phone=phone())
            assert here.http.get("/livez").status_code == 200  # only writes have to wait
            time.sleep(0.5)
            assert not waiting.done()
        assert waiting.result().status_code == 202
