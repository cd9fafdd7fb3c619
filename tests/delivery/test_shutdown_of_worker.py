"""Shutdown of the worker: its claims are finished, returned, or recorded with the result that is known."""

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
from app.outbox.claims import claim_due
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY
from tests.delivery.conftest import Attempts
from tests.delivery.factories import CONFIG
from tests.outbox.factories import InspectableOutbox, callback, store
from tests.running import AUTHORIZED, Chaser, phone, service, settings, until


class ClaimedOutbox(InspectableOutbox):
    """An outbox that records whether a worker has started to claim."""

    claiming = False

    async def write(self, work: Any, *, isolated: bool = False) -> Any:
        self.claiming = self.claiming or getattr(work, "func", None) is claim_due
        return await super().write(work, isolated=isolated)


class ImmediateShutdown(Shutdown):
    """A shutdown that leaves no time for calls in flight."""

    def remaining(self, seconds: float) -> float:
        return 0.0 if self.requested else seconds


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[ClaimedOutbox]:
    opened = ClaimedOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    yield opened
    opened.close()


@asynccontextmanager
async def running_worker(
    outbox: InspectableOutbox, far_side: Chaser, shutdown: Shutdown | None = None
) -> AsyncIterator[Worker]:
    """Run a worker that the test stops."""
    client = ChaserClient(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, api_url=far_side.api_url, timeout=60)
    breakers = CircuitBreakers({DEMO_CLIENT_ID: client})
    worker = Worker(outbox, breakers, CONFIG, utc_now, shutdown)
    await worker.start()
    yield worker
    await breakers.aclose()


async def accepted(outbox: InspectableOutbox) -> str:
    new = callback(client_phone=phone(), created_at=datetime.now(UTC))
    await store(outbox, new)
    return new.id


async def status(outbox: InspectableOutbox, callback_id: str) -> str | None:
    current = await outbox.callback_status(callback_id)
    return current and current.status


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


@contextmanager
def other_program(folder: Path) -> Iterator[sqlite3.Connection]:
    """Connect to the same database as another program would."""
    with closing(sqlite3.connect(folder / "callbacks.db", timeout=10, isolation_level=None)) as database:
        database.execute("PRAGMA legacy_alter_table = ON")  # leave the references of other tables alone
        yield database


async def test_once_a_shutdown_is_requested_nothing_is_claimed(
    outbox: InspectableOutbox, far_side: Chaser, attempts: Attempts
) -> None:
    shutdown = Shutdown()
    async with running_worker(outbox, far_side, shutdown) as worker:
        assert worker.running
        shutdown.request()
        late = await accepted(outbox)
        await eventually(lambda: not worker.running)
        assert await status(outbox, late) == "queued"
        assert attempts(late) == []
        await worker.stop()
    assert await status(outbox, late) == "queued"
    assert far_side.requests() == []


async def test_claims_that_arrive_after_the_request_for_shutdown_are_returned_and_waste_no_attempt(
    outbox: ClaimedOutbox, far_side: Chaser, attempts: Attempts, tmp_path: Path
) -> None:
    callback_ids = [await accepted(outbox) for _ in range(5)]
    shutdown = Shutdown()
    with other_program(tmp_path) as database:
        async with running_worker(outbox, far_side, shutdown) as worker:
            database.execute("BEGIN IMMEDIATE")  # before the worker's first step, so its first claim waits for this
            await eventually(lambda: outbox.claiming)
            shutdown.request()
            database.execute("COMMIT")
            await worker.stop()
    assert [attempts(callback_id) for callback_id in callback_ids] == [[("not_started", None)]] * 5
    assert [await status(outbox, callback_id) for callback_id in callback_ids] == ["queued"] * 5
    assert far_side.requests() == []
    async with running_worker(outbox, far_side) as worker:
        await eventually(lambda: len(far_side.calls()) == 5)
        await worker.stop()
    assert [attempts(callback_id) for callback_id in callback_ids] == [[("not_started", None), ("placed", 200)]] * 5


async def test_a_result_that_is_known_when_time_is_up_is_written_and_does_not_become_unknown(
    outbox: InspectableOutbox, far_side: Chaser, attempts: Attempts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    far_side.fault("slow", times=1, seconds=0.3)
    with other_program(tmp_path) as database:
        async with running_worker(outbox, far_side, ImmediateShutdown()) as worker:
            callback_id = await accepted(outbox)
            await eventually(lambda: len(far_side.calls()) == 1)
            database.execute("ALTER TABLE attempts RENAME TO gone")
            await eventually(lambda: "outbox.write_failed" in caplog.messages)
            database.execute("ALTER TABLE gone RENAME TO attempts")
            await worker.stop()  # a second before the outcome would be written again
    assert await status(outbox, callback_id) == "placed"
    assert attempts(callback_id) == [("placed", 200)]


def test_a_call_in_flight_is_finished_before_the_service_stops(
    tmp_path: Path, far_side: Chaser, attempts: Attempts
) -> None:
    far_side.fault("slow", times=1, seconds=0.5)
    with service(settings(tmp_path, far_side.api_url)) as here:
        callback_id = here.accepted()
        until(lambda: len(far_side.requests()) == 1)
    assert attempts(callback_id) == [("placed", 200)]


async def stop_during_a_hanging_call(folder: Path, far_side: Chaser) -> str:
    """Stop a worker while its call hangs. Returns the id of the callback."""
    outbox = InspectableOutbox.open(f"sqlite:///{folder}/callbacks.db")
    far_side.fault("hang_after", times=1)
    callback_id = await accepted(outbox)
    async with running_worker(outbox, far_side, ImmediateShutdown()) as worker:
        await eventually(lambda: len(far_side.requests()) == 1)
        await worker.stop()
    outbox.close()
    return callback_id


def test_a_call_that_outlasts_the_shutdown_is_unknown_and_resent_after_the_restart(
    tmp_path: Path, far_side: Chaser, attempts: Attempts
) -> None:
    callback_id = asyncio.run(stop_during_a_hanging_call(tmp_path, far_side))
    assert attempts(callback_id) == [("unknown", None)]
    with service(settings(tmp_path, far_side.api_url)) as here:
        assert here.status(callback_id) == "unknown"
        assert here.http.get("/readyz", headers=AUTHORIZED).json()["waiting"] == 1, "it will be sent once more"
