"""The writer's transactions, and what they wait for in other processes."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DataError, OperationalError

from app.admission.admission_request import AdmissionRequest
from app.admission.batch import admit_batch
from app.errors import ConflictError, ServiceError, UnavailableError
from app.outbox.callback import Callback, Status
from app.outbox.claims import AttemptOutcome
from app.outbox.database import Database, open_database
from app.outbox.group_commit import GroupCommit
from app.outbox.migrate import migrate
from tests.databases import PostgreSQL
from tests.outbox.factories import CAP, CONFIG, NOW, InspectableOutbox, callback, store
from tests.outbox.writing import TABLE, Paused, insert, stored

LEASE = timedelta(seconds=40)
PLACED = AttemptOutcome(Status.PLACED, None, None, "placed", 200, 1, None, None)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    migrate(opened.writing)
    yield opened
    opened.close()


@contextmanager
def admitting_elsewhere(url: str, *requests: Callback) -> Iterator[None]:
    """Hold the locks of requests, like a process that was stopped in the middle of admitting them."""
    engine = create_engine(url)
    with engine.begin() as connection:
        admit_batch(connection, [AdmissionRequest(request) for request in requests], CONFIG)
        yield
    engine.dispose()


async def test_delivery_does_not_wait_for_another_process_that_admits(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    outbox = InspectableOutbox.open(url)
    locked, sent, cancelled = await store(
        outbox, callback(), callback(client_phone="79160000003"), callback(client_phone="79160000002")
    )
    waiting = callback()
    with admitting_elsewhere(url, callback(site="blog"), callback(client_phone="79160000002", site="blog")):
        admitting = asyncio.ensure_future(outbox.admit(waiting))
        other = InspectableOutbox.open(url)
        async with asyncio.timeout(5):
            (claim,) = await other.claim_due(NOW, max_delay=LEASE, lease=LEASE, limit=3, cap=CAP)
            assert claim.callback_id == sent, "those of phones that are being decided about are claimed later"
            assert await other.finish_attempt(claim, PLACED, NOW, CAP)
            await other.cancel(cancelled, NOW)
            await other.cancel(locked, NOW)
            await other.expire(NOW)
            await other.erase(NOW)
            await other.check()
        other.close()
        assert not admitting.done(), "one process at a time decides about a phone"
    assert (await admitting).id == waiting.id
    outbox.close()


async def test_two_processes_claiming_concurrently_get_each_callback_once(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    ids = await store(both[0], *(callback(client_phone=f"7916{number:07}") for number in range(60)))
    rounds = (both[number % 2].claim_due(NOW, max_delay=LEASE, lease=LEASE, limit=5, cap=CAP) for number in range(24))
    claimed = [claim for claims in await asyncio.gather(*rounds) for claim in claims]
    assert sorted(claim.callback_id for claim in claimed) == sorted(ids)
    recorded = await asyncio.gather(
        *(both[number % 2].finish_attempt(one, PLACED, NOW, CAP) for number, one in enumerate(claimed))
    )
    assert all(recorded)
    for outbox in both:
        outbox.close()


async def test_isolated_work_shares_its_transaction_with_nothing(
    database: Database,
) -> None:
    writer = GroupCommit(database.writing)
    ran: list[tuple[str, int]] = []
    transactions: list[Connection] = []
    event.listen(database.writing, "begin", transactions.append)
    arrived, go_on = threading.Event(), threading.Event()

    def block(_: Connection) -> None:
        arrived.set()
        go_on.wait(10)

    blocked = asyncio.ensure_future(writer.run(block))
    await asyncio.to_thread(arrived.wait, 10)

    def work(name: str) -> Callable[[Connection], None]:
        return lambda _: ran.append((name, len(transactions)))

    queued = [
        asyncio.ensure_future(writer.run(work(name), isolated=name == "alone")) for name in ("a", "alone", "b", "alone")
    ]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(blocked, *queued)
    writer.close()
    assert ran == [("a", 2), ("b", 2), ("alone", 3), ("alone", 4)]


async def test_the_writer_never_waits_for_readers(postgresql: PostgreSQL) -> None:
    outbox = InspectableOutbox.open(postgresql.new_database())
    reading, go_on = threading.Semaphore(0), threading.Event()

    def pause(_: Connection) -> None:
        reading.release()
        go_on.wait(30)

    event.listen(outbox.database.reading, "begin", pause)
    readers = [asyncio.ensure_future(outbox.callback_status("unknown")) for _ in range(20)]
    for _ in range(5):
        await asyncio.to_thread(reading.acquire, timeout=10)
    try:
        async with asyncio.timeout(5):
            await outbox.admit(callback())
    finally:
        go_on.set()
    await asyncio.gather(*readers)
    outbox.close()


@pytest.fixture
def writer(database: Database) -> Iterator[GroupCommit]:
    with database.writing.begin() as connection:
        connection.execute(TABLE)
    opened = GroupCommit(database.writing, retry_for=20)
    yield opened
    opened.close()


async def test_items_of_one_batch_are_run_at_once_and_before_other_work(writer: GroupCommit) -> None:
    ran: list[object] = []

    def double(_: Connection, items: Sequence[int]) -> list[int]:
        ran.append(list(items))
        return [2 * item for item in items]

    def negate(_: Connection, items: Sequence[int]) -> list[int]:
        ran.append(list(items))
        return [-item for item in items]

    async with Paused(writer):
        plain = asyncio.ensure_future(writer.run(lambda _: ran.append("plain")))
        queued = [
            asyncio.ensure_future(writer.run_batched(batch, item))
            for item, batch in enumerate((double, negate, double, negate, double))
        ]
    assert await asyncio.gather(*queued) == [0, -1, 4, -3, 8]
    await plain
    assert ran == [[0, 2, 4], [1, 3], "plain"]


async def test_a_refused_item_fails_alone_and_the_rest_of_its_batch_is_committed(
    database: Database, writer: GroupCommit
) -> None:
    calls: list[int] = []

    def insert_even(connection: Connection, items: Sequence[int]) -> list[int | ServiceError]:
        calls.append(len(items))
        return [insert(connection, item) if item % 2 == 0 else ConflictError("odd", "Odd.") for item in items]

    async with Paused(writer):
        queued = [asyncio.ensure_future(writer.run_batched(insert_even, item)) for item in range(5)]
    results = await asyncio.gather(*queued, return_exceptions=True)
    assert [result if isinstance(result, int) else type(result) for result in results] == [
        0,
        ConflictError,
        2,
        ConflictError,
        4,
    ]
    assert calls == [5]
    assert stored(database) == [0, 2, 4]


class Refused(psycopg.errors.OutOfMemory):
    """The server's answer to a transaction with too many locks."""


@pytest.mark.parametrize(
    "error", [ValueError("seven"), DataError("", {}, Exception()), Refused("out of shared memory")]
)
async def test_a_batch_that_fails_for_one_item_is_repeated_item_by_item(
    database: Database, writer: GroupCommit, error: Exception
) -> None:
    calls: list[list[int]] = []

    def insert_all(connection: Connection, items: Sequence[int]) -> list[int]:
        calls.append(list(items))
        inserted = [insert(connection, item) for item in items]
        if 3 in items:
            raise OperationalError("", {}, error) if isinstance(error, psycopg.Error) else error
        return inserted

    async with Paused(writer):
        queued = [asyncio.ensure_future(writer.run_batched(insert_all, item)) for item in range(5)]
        plain = asyncio.ensure_future(writer.run(partial(insert, number=9)))
    results = await asyncio.gather(*queued, return_exceptions=True)
    assert [result for result in results if isinstance(result, int)] == [0, 1, 2, 4]
    assert isinstance(results[3], ValueError if isinstance(error, ValueError) else UnavailableError)
    assert await plain == 9
    assert calls == [[0, 1, 2, 3, 4], [0], [1], [2], [3], [4]]
    assert stored(database) == [0, 1, 2, 4, 9]


async def test_a_transaction_has_at_most_256_jobs(writer: GroupCommit) -> None:
    calls: list[int] = []

    def count(_: Connection, items: Sequence[int]) -> Sequence[int]:
        calls.append(len(items))
        return items

    async with Paused(writer):
        queued = [asyncio.ensure_future(writer.run_batched(count, item)) for item in range(600)]
    assert await asyncio.gather(*queued) == list(range(600))
    assert calls == [256, 256, 88]


async def test_the_writer_sets_its_isolation_level_itself(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    database = open_database(url)
    with database.writing.begin() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"))
    database.close()
    database = open_database(url)
    migrate(database.writing)
    writer = GroupCommit(database.writing)
    assert (
        await writer.run(lambda connection: connection.scalar(text("SHOW transaction_isolation"))) == "read committed"
    )
    writer.close()
    database.close()
