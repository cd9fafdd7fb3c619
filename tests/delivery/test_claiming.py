"""What is claimed is begun in time or not at all, and what was claimed unknowingly is found."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import event

from app.chaser import ChaserClient
from app.delivery.attempt import AttemptResult
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.recorder import Recorder
from app.delivery.retry_policy import Outcome
from app.delivery.worker import Worker, _Call
from app.main import utc_now
from app.outbox.database import open_database
from app.outbox.migrate import migrate
from app.outbox.outbox import Outbox
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY
from tests.databases import PostgreSQL
from tests.delivery.factories import RULES
from tests.outbox.factories import callback, rules
from tests.running import Chaser, phone

LEASE = timedelta(seconds=90)


@asynccontextmanager
async def worker_of(outbox: Outbox, far_side: Chaser) -> AsyncIterator[Worker]:
    accounts = CircuitBreakers(
        {DEMO_CLIENT_ID: ChaserClient(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, api_url=far_side.api_url)}
    )
    yield Worker(outbox, accounts, RULES, utc_now)
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


async def claimed(outbox: Outbox, seconds_ago: float) -> _Call:
    """Claim as a worker does that then stands still for some seconds."""
    max_delay = RULES.general.max_delay
    (claim,) = await outbox.claim_due(datetime.now(UTC), max_delay=max_delay, lease=LEASE, limit=1)
    return _Call(claim, time.monotonic() - seconds_ago)


async def test_nobody_is_phoned_after_a_cancel_by_a_worker_that_stood_still(
    postgresql: PostgreSQL, far_side: Chaser
) -> None:
    outbox, other = (Outbox.open(url) for url in [postgresql.new_database()] * 2)
    async with worker_of(outbox, far_side) as worker:
        wish = await accepted(outbox)
        call = await claimed(outbox, seconds_ago=100)
        died = AttemptResult(Outcome.UNKNOWN, None, 0.0, "process_died", "")
        await Recorder(other, CircuitBreakers({}), RULES, utc_now).finish(call.claim, died, retry_forever=False)
        await other.cancel(wish, datetime.now(UTC))
        await worker._run(call)
        assert far_side.requests() == []
        assert await status(other, wish) == "cancelled"
    outbox.close()
    other.close()


async def test_a_worker_that_stood_still_hands_back_what_it_still_holds(
    postgresql: PostgreSQL, far_side: Chaser
) -> None:
    outbox = Outbox.open(postgresql.new_database())
    async with worker_of(outbox, far_side) as worker:
        wish = await accepted(outbox)
        await worker._run(await claimed(outbox, seconds_ago=31))
        assert far_side.requests() == []
        assert await status(outbox, wish) == "queued"
        await worker._run(await claimed(outbox, seconds_ago=0))
        assert await status(outbox, wish) == "placed"
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
    async with worker_of(outbox, far_side) as worker:
        await worker.start()
        await eventually(lambda: len(far_side.calls()) == 3)
        await worker.stop()
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
    async with worker_of(outbox, far_side) as worker:
        wish = await accepted(outbox)
        await worker._run(await claimed(outbox, seconds_ago=0))
    assert len(broken) == 1
    assert await status(outbox, wish) == "placed"
    assert len(far_side.calls()) == 1
    outbox.close()
