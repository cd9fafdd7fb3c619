"""A batch: one transaction with the same statements however many requests it has, which sees what changes meanwhile."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, select, text, update

from app.admission.admission_request import AdmissionRequest, Decision
from app.admission.batch import admit_batch
from app.errors import UnavailableError
from app.outbox.callback import AcceptResult, RequestKey, Status
from app.outbox.claims import expire
from app.outbox.database import Database
from app.outbox.group_commit import GroupCommit
from app.outbox.schema import callbacks, request_keys, status_history, used_challenges
from tests.admission.deciding import (
    API_KEY,
    HOUR,
    KEY,
    MINUTE,
    NOW,
    OTHER_ADDRESS,
    OTHER_PHONE,
    SECOND,
    request,
    result,
)
from tests.databases import PostgreSQL
from tests.outbox.factories import (
    CONFIG,
    InspectableOutbox,
    callback,
    from_address,
    store,
    store_sent,
)
from tests.outbox.writing import Paused

ADMIT = partial(admit_batch, config=CONFIG)


def phone(number: int) -> str:
    return f"7916{number:07}"


def full_request(number: int, **changes: Any) -> AdmissionRequest:
    """Return a request with a request key, a nonce, and an IPv6 address."""
    address = f"2001:db8:{number:x}::1"
    key = RequestKey("site:shop", f"key-{number}", "a" * 64)
    return request(address, key=key, nonce=f"{number:032}", **{"client_phone": phone(number)} | changes)


@contextmanager
def transactions(database: Database) -> Iterator[list[list[str]]]:
    """Collect the statements of each transaction of the writer, without BEGIN and COMMIT."""
    executed: list[list[str]] = []

    def begin(_connection: object) -> None:
        executed.append([])

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            executed[-1].append(statement)

    event.listen(database.writing, "begin", begin)
    event.listen(database.writing, "before_cursor_execute", record)
    yield executed
    event.remove(database.writing, "begin", begin)
    event.remove(database.writing, "before_cursor_execute", record)


async def count_statements(outbox: InspectableOutbox, batch: list[AdmissionRequest]) -> tuple[int, list[Decision]]:
    """Return the number of statements of a transaction in which all of a batch are admitted."""
    writer = GroupCommit(outbox.database.writing)
    with transactions(outbox.database) as executed:
        async with Paused(writer):
            queued = [asyncio.ensure_future(writer.run_batched(ADMIT, one)) for one in batch]
        decisions = await asyncio.gather(*queued)
    writer.close()
    assert len(executed) == len(["pause", "batch"])
    return len(executed[-1]), decisions


async def kinds(outbox: InspectableOutbox) -> dict[str, Callable[[int], AdmissionRequest]]:
    """Return requests of every kind, by what becomes of them; for each number another one."""
    for number in range(200):
        await store_sent(outbox, callback(client_phone=phone(1000 + number), created_at=NOW - SECOND))
    again = [
        await store_sent(outbox, callback(client_phone=phone(2000 + number), created_at=NOW - HOUR))
        for number in range(200)
    ]
    return {
        "new": full_request,
        "a duplicate": lambda number: full_request(300 + number, client_phone=phone(1000 + number)),
        "again": lambda number: full_request(600 + number, client_phone=phone(2000 + number), again=again[number]),
        "held": lambda number: full_request(900 + number, held_for="honeypot"),
        "with an API key": lambda number: AdmissionRequest(
            callback(api_key=API_KEY, client_phone=phone(3000 + number)), replace(KEY, key=f"by-key-{number}")
        ),
        "without key and challenge": lambda number: request(f"198.51.100.{number}", client_phone=phone(4000 + number)),
    }


@pytest.mark.timeout(120)
async def test_a_batch_has_the_same_few_statements_whatever_it_contains(outbox: InspectableOutbox) -> None:
    expected = len(["keys", "nonces", "phones", "addresses and held", "rings"])
    expected += len(["merge", "callbacks", "keys", "nonces", "history"])
    if not outbox.database.is_exclusive:
        expected += len(["lock", "marker"])
    assert expected <= 12
    some = await kinds(outbox)
    for name, make in some.items():
        assert (name, (await count_statements(outbox, [make(199)]))[0]) == (name, expected)
    mixed = [make(number) for number in range(33) for make in some.values()]
    count, decisions = await count_statements(outbox, mixed)
    assert (len(mixed), count) == (198, expected)
    assert [result(one) for one in decisions[:6]] == [
        "queued",
        "duplicate",
        "queued",
        "held for honeypot",
        "queued",
        "queued",
    ]


async def test_a_refusal_or_a_replay_costs_no_more(outbox: InspectableOutbox) -> None:
    expected, _ = await count_statements(outbox, [full_request(1)])
    for one in (full_request(1), full_request(2, address_blocked=True)):
        count, decisions = await count_statements(outbox, [one])
        assert result(decisions[0]) in ("replayed", "blocked")
        assert count == expected - len(["history"]), "there is none"


async def test_everything_of_a_batch_is_stored(outbox: InspectableOutbox) -> None:
    some = [full_request(number) for number in range(3)]
    held = full_request(3, held_for="honeypot")
    duplicate, blocked = full_request(4, client_phone=phone(0)), full_request(5, address_blocked=True)
    batch = [*some, held, duplicate, blocked]
    with outbox.database.writing.begin() as connection:
        decisions = admit_batch(connection, batch, CONFIG)
    expected = ["queued"] * 3 + ["held for honeypot", "duplicate", "blocked"]
    assert [result(one) for one in decisions] == expected
    stored = [one.callback.id for one in batch[:5]]
    assert set(outbox.scalars(select(callbacks.c.id))) == set(stored)
    assert set(outbox.scalars(select(request_keys.c.callback_id))) == set(stored)
    assert set(outbox.scalars(select(used_challenges.c.callback_id))) == {one.user for one in batch}
    assert set(outbox.scalars(select(status_history.c.callback_id))) == set(stored)
    record = await outbox.get(some[0].callback.id)
    assert record is not None
    values = some[0].callback.columns()
    assert {name: record.callback[name] for name in values if name in record.callback} == {
        name: value for name, value in values.items() if name in record.callback
    }


def change_once(database: Database, change: Callable[[Connection], object]) -> list[str]:
    """Change a callback just before the next merge into it, as an operator may; return the statements of merges."""
    merges: list[str] = []

    def intervene(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE callbacks SET give_up_at"):
            merges.append(statement)
            if len(merges) == 1:
                change(connection)

    event.listen(database.writing, "before_cursor_execute", intervene)
    return merges


async def test_a_request_merged_into_a_callback_that_is_cancelled_meanwhile_is_decided_again(
    outbox: InspectableOutbox,
) -> None:
    waiting, other = await store(outbox, callback(), callback(client_phone=OTHER_PHONE))
    cancelled = update(callbacks).where(callbacks.c.id == waiting).values(status="cancelled", due_at=None)
    elsewhere = create_engine(outbox.database.writing.url)

    def cancel(connection: Connection) -> None:
        if outbox.database.is_exclusive:
            connection.execute(cancelled)
        else:
            with elsewhere.begin() as replica:
                replica.execute(cancelled)

    merges = change_once(outbox.database, cancel)
    batch = [request(OTHER_ADDRESS, nonce="n"), request(client_phone=OTHER_PHONE), request(client_phone=phone(9))]
    with outbox.database.writing.begin() as connection:
        decisions = admit_batch(connection, batch, CONFIG)
    assert [result(one) for one in decisions] == ["queued", "duplicate", "queued"]
    assert len(merges) == 2
    with outbox.database.reading.begin() as connection:
        rows = connection.execute(select(callbacks.c.id, callbacks.c.status, callbacks.c.duplicate_of)).all()
    assert {(row.id, row.status, row.duplicate_of) for row in rows} == {
        (waiting, "cancelled", None),
        (other, "queued", None),
        (batch[0].callback.id, "queued", None),
        (batch[1].callback.id, "duplicate", other),
        (batch[2].callback.id, "queued", None),
    }
    assert len(outbox.scalars(select(used_challenges.c.nonce))) == 1
    elsewhere.dispose()


async def test_a_request_waits_for_a_replica_that_expires_the_callback_that_would_cover_it(
    postgresql: PostgreSQL,
) -> None:
    url = postgresql.new_database()
    outbox, elsewhere = InspectableOutbox.open(url), create_engine(url)
    (first,) = await store(outbox, callback())
    now = NOW + 2 * HOUR
    with elsewhere.begin() as replica:
        assert expire(replica, now) == [first]
        mine = callback(created_at=now)
        pending = asyncio.create_task(outbox.admit(mine))
        await asyncio.to_thread(wait_for_lock, replica)
    assert (await pending).id == mine.id
    found = await outbox.callback_status(mine.id)
    assert found is not None
    assert found.status is Status.QUEUED, "not merged into the failed callback"
    outbox.close()
    elsewhere.dispose()


def wait_for_lock(replica: Connection) -> None:
    blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while not replica.scalar(blocked):
        time.sleep(0.02)


async def test_a_merge_never_shortens_a_deadline_nor_postpones_an_attempt(outbox: InspectableOutbox) -> None:
    (waiting,) = await store(outbox, callback(), due_at=NOW + 9 * MINUTE, give_up_at=NOW + 9 * HOUR)
    batch = [request(client_phone=callback().client_phone, created_at=NOW + seconds * SECOND) for seconds in (1, 5, 2)]
    with outbox.database.writing.begin() as connection:
        decisions = admit_batch(connection, batch, CONFIG)
    assert [result(one) for one in decisions] == ["duplicate"] * 3
    (due_at,) = outbox.scalars(select(callbacks.c.due_at).where(callbacks.c.id == waiting))
    (give_up_at,) = outbox.scalars(select(callbacks.c.give_up_at).where(callbacks.c.id == waiting))
    assert (due_at, give_up_at) == (NOW + SECOND, NOW + 9 * HOUR)


async def test_an_attempt_that_became_due_meanwhile_is_not_postponed(outbox: InspectableOutbox) -> None:
    """Delivery locks no phone."""
    (waiting,) = await store(outbox, callback(), due_at=NOW + 9 * MINUTE)
    earlier = update(callbacks).where(callbacks.c.id == waiting).values(due_at=NOW)
    merges = change_once(outbox.database, lambda connection: connection.execute(earlier))
    with outbox.database.writing.begin() as connection:
        (decision,) = admit_batch(connection, [request(created_at=NOW + SECOND)], CONFIG)
    assert decision.merge is not None
    assert (decision.merge.due_at, len(merges)) == (NOW + SECOND, 1)
    assert outbox.scalars(select(callbacks.c.due_at).where(callbacks.c.id == waiting)) == [NOW]


async def test_a_request_whose_original_vanishes_again_and_again_is_refused_and_not_lost(
    outbox: InspectableOutbox,
) -> None:
    (waiting,) = await store(outbox, callback())
    this = update(callbacks).where(callbacks.c.id == waiting)

    def change(status: str, connection: Connection, statement: str) -> None:
        if statement.startswith("UPDATE callbacks SET give_up_at"):
            connection.execute(this.values(status=status))

    def vanish(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        change("cancelled", connection, statement)

    def return_(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        change("queued", connection, statement)

    event.listen(outbox.database.writing, "before_cursor_execute", vanish)
    event.listen(outbox.database.writing, "after_cursor_execute", return_)
    with pytest.raises(UnavailableError):
        await outbox.admit(callback())
    assert outbox.scalars(select(callbacks.c.id)) == [waiting]


async def test_a_value_that_the_database_refuses_fails_its_own_request_only(postgresql: PostgreSQL) -> None:
    outbox = InspectableOutbox.open(postgresql.new_database())
    some = [from_address(f"198.51.100.{number}", client_phone=phone(number)) for number in range(9)]
    some[4] = replace(some[4], active_page="https://shop.example/\x00")
    answers = await asyncio.gather(*(outbox.admit(one) for one in some), return_exceptions=True)
    assert [number for number, answer in enumerate(answers) if not isinstance(answer, AcceptResult)] == [4]
    assert await outbox.waiting() == 8
    outbox.close()
