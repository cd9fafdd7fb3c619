"""A lost reply to COMMIT: the marker shows whether the work was committed, so that it is neither repeated nor lost."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, event, select, text

from app.outbox.database import Database, open_database
from app.outbox.group_commit import GroupCommit
from app.outbox.migrate import migrate
from app.outbox.schema import writers
from tests.databases import PostgreSQL
from tests.lossy_proxy import Fate, LossyProxy, lossy_proxy
from tests.outbox.factories import NOW, InspectableOutbox, callback
from tests.outbox.writing import TABLE, Paused, insert, stored


class Lossy:
    """A database behind a proxy that applies one fate after another to the COMMITs, and then passes them."""

    def __init__(self, proxy: LossyProxy, database: Database, retry_for: float) -> None:
        self.proxy = proxy
        self.database = database
        self.writer = GroupCommit(database.writing, retry_for=retry_for)
        self.runs = 0

    def lose(self, *fates: Fate) -> None:
        """Apply these fates to the next COMMITs."""
        left = list(fates)
        self.proxy.fate = lambda: left.pop(0) if left else Fate.PASS

    def insert(self, connection: Connection, number: int) -> int:
        """Insert a number, and count how often this was tried."""
        self.runs += 1
        return insert(connection, number)

    def markers(self) -> list[int]:
        """Return the numbers of the last transactions of all processes."""
        with self.database.reading.begin() as connection:
            return list(connection.scalars(select(writers.c.last_batch)))


@pytest.fixture
def lossy(postgresql: PostgreSQL) -> Iterator[Lossy]:
    url = postgresql.new_database()
    with lossy_proxy(url) as proxy:
        database = open_database(proxy.url)
        migrate(database.writing)
        with database.writing.begin() as connection:
            connection.execute(TABLE)
        opened = Lossy(proxy, database, 20)
        yield opened
        opened.writer.close()
        database.close()


@pytest.mark.parametrize("earlier", [0, 3], ids=["first transaction", "later transaction"])
@pytest.mark.parametrize(
    ("fates", "runs"),
    [
        ([Fate.LOSE_REPLY], 1),
        ([Fate.DELAY], 1),
        ([Fate.LOSE_COMMIT], 2),
        ([Fate.LOSE_COMMIT, Fate.PASS, Fate.LOSE_COMMIT, Fate.PASS, Fate.LOSE_REPLY], 3),
        # The COMMIT of the transaction that reads the marker is lost too.
        ([Fate.LOSE_REPLY, Fate.LOSE_REPLY], 1),
        ([Fate.LOSE_COMMIT, Fate.LOSE_COMMIT], 2),
    ],
    ids=str,
)
async def test_work_runs_again_after_a_lost_commit_only_if_it_was_not_committed(
    lossy: Lossy, fates: list[Fate], runs: int, earlier: int
) -> None:
    for number in range(earlier):
        await lossy.writer.run(partial(insert, number=100 + number))
    lossy.lose(*fates)
    assert await lossy.writer.run(partial(lossy.insert, number=1)) == 1
    assert lossy.proxy.lost == [fate for fate in fates if fate is not Fate.PASS]
    assert lossy.runs == runs
    assert await lossy.writer.run(partial(lossy.insert, number=2)) == 2
    assert stored(lossy.database)[:2] == [1, 2]
    assert lossy.markers() == [earlier + 2]


async def test_a_connection_lost_before_commit_costs_one_repetition(lossy: Lossy) -> None:
    def disconnect_once(connection: Connection) -> int:
        if lossy.runs == 0:
            lossy.insert(connection, 1)
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
            with lossy.database.reading.begin() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        return lossy.insert(connection, 1)

    assert await lossy.writer.run(disconnect_once) == 1
    assert stored(lossy.database) == [1]
    assert lossy.markers() == [1]


@pytest.mark.parametrize("fate", [Fate.LOSE_REPLY, Fate.LOSE_COMMIT])
async def test_work_with_an_unknown_outcome_is_answered_503_and_never_runs_again(lossy: Lossy, fate: Fate) -> None:
    await lossy.writer.run(partial(insert, number=100))
    impatient = GroupCommit(lossy.database.writing, retry_for=3.0)
    unreadable = threading.Event()

    def refuse(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if unreadable.is_set() and "RETURNING writers.last_batch" in statement:
            raise psycopg.OperationalError("the server is not there")

    event.listen(lossy.database.writing, "before_cursor_execute", refuse)
    unreadable.set()
    async with Paused(impatient):
        queued = [asyncio.ensure_future(impatient.run(partial(lossy.insert, number=number))) for number in range(3)]
        lossy.lose(Fate.PASS, fate)
    answers = await asyncio.gather(*queued, return_exceptions=True)
    assert [getattr(answer, "code", answer) for answer in answers] == ["storage_unavailable"] * 3
    unreadable.clear()
    assert lossy.runs == 3
    # A later transaction is not taken for that one.
    lossy.lose(Fate.LOSE_COMMIT)
    assert await impatient.run(partial(lossy.insert, number=7)) == 7
    assert stored(lossy.database) == [*([0, 1, 2] if fate is Fate.LOSE_REPLY else []), 7, 100]
    impatient.close()


async def test_a_transaction_costs_its_statements_and_three_round_trips(lossy: Lossy) -> None:
    for number in range(20):  # by then the statements are prepared
        await lossy.writer.run(partial(insert, number=number))
    before = lossy.proxy.round_trips
    for number in range(20, 30):
        await lossy.writer.run(partial(insert, number=number))
    assert lossy.proxy.round_trips - before == 10 * len(["BEGIN", "INSERT", "marker", "COMMIT"])


async def test_nothing_is_marked_on_sqlite(tmp_path: Path) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    statements: list[str] = []
    event.listen(
        outbox.database.writing, "before_cursor_execute", lambda _a, _b, statement, *_: statements.append(statement)
    )
    await outbox.admit(callback())
    await outbox.erase(NOW)
    assert statements
    assert not any("writers" in statement for statement in statements)
    outbox.close()


async def test_markers_unchanged_for_a_day_are_deleted(postgresql: PostgreSQL) -> None:
    outbox = InspectableOutbox.open(postgresql.new_database())
    ages = {"dead": "25 hours", "old": "23 hours", "ahead": "-2 days"}
    for process, age in ages.items():
        outbox.execute(
            text(f"INSERT INTO writers VALUES ('{process}', 7, clock_timestamp() - CAST('{age}' AS interval))")
        )
    await outbox.erase(NOW + timedelta(days=9))  # this process's clock counts for nothing
    left = outbox.scalars(select(writers.c.process))
    assert {*left} & ages.keys() == {"old", "ahead"}
    assert len(left) == 3, "its own marker stays"
    outbox.close()
