"""The blocklist: storage and lookups."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event

from app.outbox import blocklist_store
from app.outbox.blocklist_store import Blocked
from tests.databases import PostgreSQL
from tests.outbox.factories import NOW, InspectableOutbox, callback, hold, store

BLOCKED = Blocked(["79161234567", "203.0.113.7/32", "198.51.100.0/24", "2001:db8:1::/48", "0.0.0.0/8"])


@pytest.mark.parametrize(
    ("address", "blocked"),
    [
        ("203.0.113.7", True),
        ("203.0.113.8", False),
        ("198.51.100.255", True),
        ("198.51.101.0", False),
        ("2001:db8:1:ffff::1", True),
        ("2001:db8:2::1", False),
        ("::1", False),
        ("0.0.0.0", True),
    ],
)
def test_an_address_is_blocked_by_any_network_that_contains_it(address: str, blocked: bool) -> None:
    assert BLOCKED.address(address) is blocked


def test_a_phone_is_blocked_by_its_full_number_only() -> None:
    assert BLOCKED.phone("79161234567")
    assert not BLOCKED.phone("7916123456")
    assert not Blocked().phone("79161234567")
    assert not Blocked().address("203.0.113.7")


async def test_entries_are_stored_and_deleted(outbox: InspectableOutbox) -> None:
    await outbox.block("79161234567", "asked for it", NOW)
    await outbox.block("203.0.113.0/24", None, NOW + timedelta(minutes=1))
    assert [entry.entry for entry in await outbox.blocklist()] == ["203.0.113.0/24", "79161234567"]
    assert (await outbox.blocked()).address("203.0.113.9")
    assert await outbox.unblock("203.0.113.0/24")
    assert not (await outbox.blocked()).address("203.0.113.9")
    assert not await outbox.unblock("203.0.113.0/24")


async def test_an_entry_added_twice_keeps_its_date_and_gets_the_new_note(outbox: InspectableOutbox) -> None:
    await outbox.block("79161234567", "first", NOW)
    await outbox.block("79161234567", "second", NOW + timedelta(days=1))
    assert await outbox.blocklist() == [blocklist_store.Entry("79161234567", "second", NOW)]


async def test_an_entry_added_by_another_process_takes_effect_within_seconds(outbox: InspectableOutbox) -> None:
    await outbox.blocked()
    with outbox.database.writing.begin() as connection:  # as a replica would
        blocklist_store.add(connection, "79161234567", None, NOW)
    while not (await outbox.blocked()).phone("79161234567"):
        await asyncio.sleep(0.01)


async def test_blocking_a_phone_cancels_its_waiting_callback_and_no_other(outbox: InspectableOutbox) -> None:
    waiting, other = await store(outbox, callback(), callback(client_phone="79161234568"))
    held = await hold(outbox)
    await outbox.block("79161234567", None, NOW)
    found = [await outbox.callback_status(one) for one in (waiting, other, held)]
    assert [one and one.status for one in found] == ["cancelled", "queued", "held"]


@contextmanager
def loads(outbox: InspectableOutbox) -> Iterator[list[str]]:
    """Collect the statements that load the blocklist."""
    statements: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM blocklist" in statement:
            statements.append(statement)

    event.listen(outbox.database.reading, "before_cursor_execute", record)
    yield statements
    event.remove(outbox.database.reading, "before_cursor_execute", record)


async def test_concurrent_lookups_share_one_load(outbox: InspectableOutbox) -> None:
    with loads(outbox) as statements:
        await asyncio.gather(*(outbox.blocked() for _ in range(50)))
        await outbox.blocked()
    assert len(statements) == 1


async def test_a_load_started_before_a_change_is_not_cached_after_it(outbox: InspectableOutbox) -> None:
    loaded, go_on = threading.Event(), threading.Event()

    def pause(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM blocklist" in statement and not loaded.is_set():
            loaded.set()
            go_on.wait(10)

    event.listen(outbox.database.reading, "after_cursor_execute", pause)
    before = asyncio.ensure_future(outbox.blocked())
    await asyncio.to_thread(loaded.wait, 10)
    await outbox.block("79161234567", None, NOW)
    after = asyncio.ensure_future(outbox.blocked())
    await asyncio.sleep(0)
    go_on.set()
    await before
    assert (await after).phone("79161234567")
    assert (await outbox.blocked()).phone("79161234567")


async def test_a_deletion_with_a_lost_commit_reply_is_reported_as_done(postgresql: PostgreSQL) -> None:
    outbox = InspectableOutbox.open(postgresql.new_database())
    await outbox.block("79161234567", None, NOW)
    lost = []

    def lose(connection: Connection) -> None:
        if not lost:
            lost.append(connection.connection.dbapi_connection)
            lost[0].commit()  # committed, but its reply is lost
            lost[0].close()

    event.listen(outbox.database.writing, "commit", lose)
    assert await outbox.unblock("79161234567")
    assert lost
    assert await outbox.blocklist() == []
    outbox.close()
