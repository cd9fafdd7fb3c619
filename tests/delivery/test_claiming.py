"""What is claimed is begun in time or not at all, and what was claimed unknowingly is found."""

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
from app.outbox.claims import Claim
from app.outbox.database import Database, open_database
from app.outbox.migrate import migrate
from app.outbox.outbox import Outbox
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY
from tests.databases import PostgreSQL
from tests.delivery.factories import RULES
from tests.outbox.factories import callback, rules
from tests.running import AT_ONCE, Chaser, phone


class StallingOutbox(Outbox):
    """An outbox whose first claim stalls: `meanwhile` runs before the worker has it, `monotonic` is the worker's clock.

    `claimed` is set when the worker goes on.
    """

    def __init__(self, database: Database, **limits: float) -> None:
        super().__init__(database, **limits)
        self.claimed = asyncio.Event()
        self.stalled = 0.0
        self.meanwhile: Callable[[Claim], Awaitable[None]] | None = None

    def monotonic(self) -> float:
        return time.monotonic() + self.stalled

    async def claim_due(self, *arguments: Any, **terms: Any) -> list[Claim]:
        claims = await super().claim_due(*arguments, **terms)
        if claims and not self.claimed.is_set():
            if self.meanwhile is not None:
                await self.meanwhile(claims[0])
            self.claimed.set()
        return claims


@asynccontextmanager
async def working(
    outbox: Outbox, far_side: Chaser, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[Worker]:
    """A worker that is stopped at the end, when what it has claimed is over."""
    accounts = CircuitBreakers(
        {DEMO_CLIENT_ID: ChaserClient(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, api_url=far_side.api_url)}
    )
    worker = Worker(outbox, accounts, RULES, utc_now, poll_interval=AT_ONCE, monotonic=monotonic)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()
        await accounts.aclose()


async def accepted(outbox: Outbox) -> str:
    wish = callback(account=DEMO_CLIENT_ID, client_phone=phone(), created_at=datetime.now(UTC))
    await outbox.accept(wish, None, rules())
    return wish.id


async def status(outbox: Outbox, callback_id: str) -> str | None:
    glimpse = await outbox.callback_status(callback_id)
    return glimpse and glimpse.status


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.01)


async def test_nobody_is_phoned_after_a_cancel_by_a_worker_that_stood_still(
    postgresql: PostgreSQL, far_side: Chaser
) -> None:
    url = postgresql.new_database()
    outbox, other = StallingOutbox.open(url), Outbox.open(url)

    async def cancel(claim: Claim) -> None:
        outbox.stalled = 100
        died = AttemptResult(Outcome.UNKNOWN, None, 0.0, "process_died", "")
        await Recorder(other, CircuitBreakers({}), RULES, utc_now).finish(claim, died, retry_forever=False)
        await other.cancel(claim.callback_id, datetime.now(UTC))

    outbox.meanwhile = cancel
    wish = await accepted(outbox)
    async with working(outbox, far_side, outbox.monotonic):
        await outbox.claimed.wait()
    assert far_side.requests() == []
    assert await status(other, wish) == "cancelled"
    outbox.close()
    other.close()


async def test_a_worker_that_stood_still_hands_back_what_it_still_holds(
    postgresql: PostgreSQL, far_side: Chaser
) -> None:
    url = postgresql.new_database()
    outbox = StallingOutbox.open(url)

    async def stand_still(_: Claim) -> None:
        outbox.stalled = 31

    outbox.meanwhile = stand_still
    wish = await accepted(outbox)
    async with working(outbox, far_side, outbox.monotonic):
        await eventually(lambda: len(far_side.requests()) > 0)
    assert len(far_side.requests()) == 1
    assert await status(outbox, wish) == "placed"
    assert count_of(url, "attempts WHERE outcome = 'not_started' AND detail = 'lease_margin_exceeded'") == 1
    assert count_of(url, "attempts") == 2
    outbox.close()


async def test_what_a_claiming_took_whose_answer_was_lost_for_long_is_delivered(
    postgresql: PostgreSQL, far_side: Chaser, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.new_database()
    database = open_database(url)
    migrate(database.writing)
    outbox = Outbox(database, patience=0)
    wishes = [await accepted(outbox) for _ in range(3)]
    lost: list[object] = []

    def lose_the_answer(connection: object) -> None:
        """End the connection right after the server has committed the claim."""
        if not lost and count_of(url, "callbacks WHERE status = 'sending'") == 3:
            lost.append(connection)
            raise psycopg.OperationalError("the answer to the commit is lost")

    monkeypatch.setattr(database.writing.dialect, "do_commit", commit_and(lose_the_answer))
    async with working(outbox, far_side):
        await eventually(lambda: len(far_side.calls()) == 3)
    assert len(lost) == 1
    assert [await status(outbox, wish) for wish in wishes] == ["placed"] * 3
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


async def test_an_outcome_that_could_not_be_written_for_an_unforeseen_reason_is_written_later(
    postgresql: PostgreSQL, far_side: Chaser
) -> None:
    database = open_database(postgresql.new_database())
    migrate(database.writing)
    outbox = Outbox(database)
    broken: list[str] = []

    def break_once(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not broken and statement.startswith("UPDATE attempts"):
            broken.append(statement)
            raise ValueError("nobody has thought of this")

    event.listen(database.writing, "before_cursor_execute", break_once)
    wish = await accepted(outbox)
    async with working(outbox, far_side):
        await eventually(lambda: len(broken) == 1)
    assert await status(outbox, wish) == "placed"
    assert len(far_side.calls()) == 1
    outbox.close()
