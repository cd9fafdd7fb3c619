"""The end of the worker: what it holds is finished, handed back, or written down as what is known of it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.chaser import ChaserClient
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.shutdown import Shutdown
from app.delivery.worker import Worker
from app.main import utc_now
from app.outbox.claims import Claim
from app.outbox.outbox import Outbox
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY
from tests.delivery.conftest import Attempts
from tests.delivery.factories import RULES
from tests.outbox.factories import callback, rules
from tests.running import Chaser, phone, service, settings, until


class ClaimedOutbox(Outbox):
    """An outbox that notes that a worker has begun to claim."""

    claiming = False

    async def claim_due(self, *arguments: Any, **terms: Any) -> list[Claim]:
        self.claiming = True
        return await super().claim_due(*arguments, **terms)


class NoTime(Shutdown):
    """An end that leaves no time for what is under way."""

    def left(self, seconds: float) -> float:
        return 0.0 if self.told else seconds


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[ClaimedOutbox]:
    opened = ClaimedOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    yield opened
    opened.close()


@asynccontextmanager
async def working(outbox: Outbox, far_side: Chaser, shutdown: Shutdown | None = None) -> AsyncIterator[Worker]:
    """A worker that is to be stopped by the test."""
    client = ChaserClient(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, api_url=far_side.api_url, timeout=60)
    accounts = CircuitBreakers({DEMO_CLIENT_ID: client})
    worker = Worker(outbox, accounts, RULES, utc_now, shutdown)
    await worker.start()
    yield worker
    await accounts.aclose()


async def accepted(outbox: Outbox) -> str:
    wish = callback(client_phone=phone(), created_at=datetime.now(UTC))
    await outbox.accept(wish, None, rules())
    return wish.id


async def status(outbox: Outbox, callback_id: str) -> str | None:
    glimpse = await outbox.callback_status(callback_id)
    return glimpse and glimpse.status


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.01)


@contextmanager
def foreign(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection of another program to the same database."""
    with closing(sqlite3.connect(folder / "callbacks.db", timeout=10, isolation_level=None)) as database:
        database.execute("PRAGMA legacy_alter_table = ON")  # leave the references of other tables alone
        yield database


async def test_once_the_end_is_told_nothing_is_taken(outbox: Outbox, far_side: Chaser, attempts: Attempts) -> None:
    shutdown = Shutdown()
    async with working(outbox, far_side, shutdown) as worker:
        assert worker.running
        shutdown.request()
        late = await accepted(outbox)
        await eventually(lambda: not worker.running)
        assert await status(outbox, late) == "queued"
        assert attempts(late) == []
        await worker.stop()
    assert await status(outbox, late) == "queued"
    assert far_side.requests() == []


async def test_a_claim_that_comes_back_after_the_end_began_is_handed_back_and_burns_no_attempt(
    outbox: ClaimedOutbox, far_side: Chaser, attempts: Attempts, tmp_path: Path
) -> None:
    wishes = [await accepted(outbox) for _ in range(5)]
    shutdown = Shutdown()
    with foreign(tmp_path) as database:
        async with working(outbox, far_side, shutdown) as worker:
            database.execute("BEGIN IMMEDIATE")  # before the worker's first step, so its first claim waits for this
            await eventually(lambda: outbox.claiming)
            shutdown.request()
            database.execute("COMMIT")
            await worker.stop()
    assert [attempts(wish) for wish in wishes] == [[("not_started", None)]] * 5
    assert [await status(outbox, wish) for wish in wishes] == ["queued"] * 5
    assert far_side.requests() == []
    async with working(outbox, far_side) as worker:
        await eventually(lambda: len(far_side.calls()) == 5)
        await worker.stop()
    assert [attempts(wish) for wish in wishes] == [[("not_started", None), ("placed", 200)]] * 5


async def test_what_is_known_when_time_is_up_is_written_and_not_called_unknown(
    outbox: Outbox, far_side: Chaser, attempts: Attempts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    far_side.fault("slow", times=1, seconds=0.3)
    with foreign(tmp_path) as database:
        async with working(outbox, far_side, NoTime()) as worker:
            wish = await accepted(outbox)
            await eventually(lambda: len(far_side.calls()) == 1)
            database.execute("ALTER TABLE attempts RENAME TO gone")
            await eventually(lambda: "outbox.write_failed" in caplog.messages)
            database.execute("ALTER TABLE gone RENAME TO attempts")
            await worker.stop()  # a second before the outcome would be written again
    assert await status(outbox, wish) == "placed"
    assert attempts(wish) == [("placed", 200)]


def test_a_call_under_way_is_finished_before_the_service_stops(
    tmp_path: Path, far_side: Chaser, attempts: Attempts
) -> None:
    far_side.fault("slow", times=1, seconds=0.5)
    with service(settings(tmp_path, far_side.api_url)) as here:
        wish = here.accepted()
        arrived(far_side)
    assert attempts(wish) == [("placed", 200)]


async def hang(folder: Path, far_side: Chaser) -> str:
    """Stop a worker while its call hangs; returns the id of the callback."""
    outbox = Outbox.open(f"sqlite:///{folder}/callbacks.db")
    far_side.fault("hang_after", times=1)
    wish = await accepted(outbox)
    async with working(outbox, far_side, NoTime()) as worker:
        await eventually(lambda: len(far_side.requests()) == 1)
        await worker.stop()
    outbox.close()
    return wish


def test_a_call_that_outlasts_the_shutdown_is_unknown_and_not_forgotten(
    tmp_path: Path, far_side: Chaser, attempts: Attempts
) -> None:
    wish = asyncio.run(hang(tmp_path, far_side))
    assert attempts(wish) == [("unknown", None)]
    with service(settings(tmp_path, far_side.api_url)) as here:
        assert here.status(wish) == "unknown"
        assert here.http.get("/readyz").json()["waiting"] == 1, "it will be sent once more"


def arrived(far_side: Chaser) -> None:
    until(lambda: len(far_side.requests()) == 1)
