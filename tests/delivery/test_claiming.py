"""Claims: a claimed call starts in time or not at all, and a claim whose commit reply was lost is recovered."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from app.chaser import ChaserClient
from app.delivery.attempt import AttemptResult
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.recorder import Recorder
from app.delivery.retry_policy import Outcome
from app.delivery.worker import Worker
from app.main import utc_now
from app.outbox.claims import Claim, claim_due
from app.outbox.database import Database, open_database
from app.outbox.migrate import migrate
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY
from tests.databases import PostgreSQL
from tests.delivery.factories import CONFIG
from tests.outbox.factories import InspectableOutbox, callback, store
from tests.running import AT_ONCE, Chaser, phone


class StallingOutbox(InspectableOutbox):
    """An outbox whose first claim stalls: `meanwhile` runs before the worker receives it, then `claimed` is set.

    `monotonic` is the clock for the worker; `stalled` seconds are added to it.
    """

    def __init__(self, database: Database, **limits: float) -> None:
        super().__init__(database, **limits)
        self.claimed = asyncio.Event()
        self.stalled = 0.0
        self.meanwhile: Callable[[Claim], Awaitable[None]] | None = None

    def monotonic(self) -> float:
        return time.monotonic() + self.stalled

    async def write(self, work: Any, *, isolated: bool = False) -> Any:
        result = await super().write(work, isolated=isolated)
        if getattr(work, "func", None) is claim_due and result and not self.claimed.is_set():
            if self.meanwhile is not None:
                await self.meanwhile(result[0])
            self.claimed.set()
        return result


@asynccontextmanager
async def running_worker(
    outbox: InspectableOutbox, far_side: Chaser, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[Worker]:
    """Run a worker, and stop it at the end, when its claims are finished."""
    breakers = CircuitBreakers(
        {DEMO_CLIENT_ID: ChaserClient(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, api_url=far_side.api_url)}
    )
    worker = Worker(outbox, breakers, CONFIG, utc_now, poll_interval=AT_ONCE, monotonic=monotonic)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()
        await breakers.aclose()


async def accepted(outbox: InspectableOutbox) -> str:
    new = callback(account=DEMO_CLIENT_ID, client_phone=phone(), created_at=datetime.now(UTC))
    await store(outbox, new)
    return new.id


async def status(outbox: InspectableOutbox, callback_id: str) -> str | None:
    current = await outbox.callback_status(callback_id)
    return current and current.status


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_suspended_worker_does_not_send_a_callback_that_was_cancelled_meanwhile(
    postgresql: PostgreSQL, far_side: Chaser
) -> None:
    url = postgresql.new_database()
    outbox, other = StallingOutbox.open(url), InspectableOutbox.open(url)

    async def cancel(claim: Claim) -> None:
        outbox.stalled = 100
        orphaned = AttemptResult(Outcome.UNKNOWN, None, 0.0, "process_died", "")
        await Recorder(other, CircuitBreakers({}), CONFIG, utc_now).finish(claim, orphaned, retry_forever=False)
        await other.cancel(claim.callback_id, datetime.now(UTC))

    outbox.meanwhile = cancel
    callback_id = await accepted(outbox)
    async with running_worker(outbox, far_side, outbox.monotonic):
        await outbox.claimed.wait()
    assert far_side.requests() == []
    assert await status(other, callback_id) == "cancelled"
    outbox.close()
    other.close()


async def test_a_suspended_worker_returns_the_claims_whose_lease_it_still_holds(
    postgresql: PostgreSQL, far_side: Chaser
) -> None:
    url = postgresql.new_database()
    outbox = StallingOutbox.open(url)

    async def suspend(_: Claim) -> None:
        outbox.stalled = 31

    outbox.meanwhile = suspend
    callback_id = await accepted(outbox)
    async with running_worker(outbox, far_side, outbox.monotonic):
        await eventually(lambda: len(far_side.requests()) > 0)
    assert len(far_side.requests()) == 1
    assert await status(outbox, callback_id) == "placed"
    assert count_of(url, "attempts WHERE outcome = 'not_started' AND detail = 'lease_margin_exceeded'") == 1
    assert count_of(url, "attempts") == 2
    outbox.close()


async def test_claims_whose_commit_reply_was_lost_are_delivered(
    postgresql: PostgreSQL, far_side: Chaser, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.new_database()
    database = open_database(url)
    migrate(database.writing)
    outbox = InspectableOutbox(database, retry_for=0)
    callback_ids = [await accepted(outbox) for _ in range(3)]
    lost: list[object] = []

    def lose_the_reply(connection: object) -> None:
        """Fail once, right after the server has committed the claim."""
        if not lost and count_of(url, "callbacks WHERE status = 'sending'") == 3:
            lost.append(connection)
            raise psycopg.OperationalError("the reply to the commit is lost")

    monkeypatch.setattr(database.writing.dialect, "do_commit", commit_and(lose_the_reply))
    async with running_worker(outbox, far_side):
        await eventually(lambda: len(far_side.calls()) == 3)
    assert len(lost) == 1
    assert [await status(outbox, callback_id) for callback_id in callback_ids] == ["placed"] * 3
    assert count_of(url, "attempts") == 3
    outbox.close()


def commit_and(then: Callable[[object], None]) -> Callable[[psycopg.Connection], None]:
    def commit(connection: psycopg.Connection) -> None:
        connection.commit()
        then(connection)

    return commit


def count_of(url: str, table: str) -> int:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])


async def test_a_result_whose_write_failed_unexpectedly_is_written_later(
    postgresql: PostgreSQL, far_side: Chaser
) -> None:
    database = open_database(postgresql.new_database())
    migrate(database.writing)
    outbox = InspectableOutbox(database)
    broken: list[str] = []

    def break_once(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not broken and statement.startswith("UPDATE attempts"):
            broken.append(statement)
            raise ValueError("an unexpected error")

    event.listen(database.writing, "before_cursor_execute", break_once)
    callback_id = await accepted(outbox)
    async with running_worker(outbox, far_side):
        await eventually(lambda: len(broken) == 1)
    assert await status(outbox, callback_id) == "placed"
    assert len(far_side.calls()) == 1
    outbox.close()
