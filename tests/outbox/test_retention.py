"""Erasing personal data: completely, in small batches, and without blocking requests."""

import asyncio
import random
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, event, func, insert, select, update

from app.admission.admission_queries import stored_replay
from app.outbox.callback import RequestKey, Status
from app.outbox.retention import KEEP_DUPLICATES
from app.outbox.schema import attempts, callbacks, request_keys, status_history, used_challenges
from tests.outbox.factories import CAP, NOW, InspectableOutbox, callback, from_address, hold, mark_placed

SECOND = timedelta(seconds=1)
SOON = timedelta(minutes=5)
DAY = timedelta(days=1)
MANY = 2500


def insert_rows(outbox: InspectableOutbox, count: int, **changes: Any) -> None:
    placed = {"updated_at": NOW, "status": "placed", "due_at": None}
    rows = [callback(client_phone=f"7916{number:07}").columns() | placed | changes for number in range(count)]
    outbox.execute(insert(callbacks), rows)


def column(outbox: InspectableOutbox, name: str) -> list[Any]:
    return outbox.scalars(select(callbacks.c[name]))


@contextmanager
def statements(outbox: InspectableOutbox, beginning: str) -> Iterator[list[int]]:
    """Collect the number of rows changed by each statement that starts with `beginning`."""
    counts: list[int] = []

    def record(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(beginning):
            counts.append(cursor.rowcount)

    event.listen(outbox.database.writing, "after_cursor_execute", record)
    yield counts
    event.remove(outbox.database.writing, "after_cursor_execute", record)


async def test_callbacks_are_erased_in_batches_of_a_thousand(outbox: InspectableOutbox) -> None:
    insert_rows(outbox, MANY)
    with statements(outbox, "UPDATE callbacks") as counts:
        assert await outbox.erase(NOW + SECOND) == MANY
    assert counts == [1000, 1000, 500]
    assert column(outbox, "client_phone") == [None] * MANY
    assert await outbox.erase(NOW + SECOND) == 0, "nothing is left to erase"


async def test_no_file_of_the_database_holds_an_erased_number(tmp_path: Path) -> None:
    path = tmp_path / "callbacks.db"
    outbox = InspectableOutbox.open(f"sqlite:///{path}")
    insert_rows(outbox, MANY, message_on_ring="for 79160000001")
    numbers = random.Random(1)
    change = update(callbacks).where(callbacks.c.client_phone == bindparam("phone"))
    for status in ("sending", "unknown", "placed"):  # rows grow and shrink, so pages are split
        chosen = [f"7916{number:07}" for number in numbers.sample(range(MANY), MANY // 2)]
        texts = [{"phone": phone, "text": "x" * numbers.randrange(900)} for phone in chosen]
        outbox.execute(change.values(status=status, referrer=bindparam("text")), texts)
    outbox.execute(update(callbacks).values(status="placed"))
    await outbox.block("79169999999", None, NOW)  # is kept
    assert len(phones_in(path)) == MANY + 1
    assert await outbox.erase(NOW + SECOND) == MANY
    assert phones_in(path) == {b"79169999999"}
    assert path.with_name("callbacks.db-wal").stat().st_size == 0
    outbox.close()


def phones_in(path: Path) -> set[bytes]:
    """Return the phones in all files of a database, its WAL and its shared memory included."""
    files = list(path.parent.glob(f"{path.name}*"))
    assert len(files) == 4, "the lock too"
    return {found for file in files for found in re.findall(rb"7916\d{7}", file.read_bytes())}


async def test_a_reader_that_stays_holds_up_no_writer(tmp_path: Path) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    insert_rows(outbox, 3)
    with outbox.database.reading.begin() as reader:
        reader.execute(select(func.count()).select_from(callbacks))
        started = time.monotonic()
        await outbox.erase(NOW + SECOND)
        assert time.monotonic() - started < 5, "less than the timeout of a lock"
    assert phones_in(tmp_path / "callbacks.db")
    await outbox.erase(NOW + SECOND)
    assert not phones_in(tmp_path / "callbacks.db"), "the next erasure empties the WAL, whether it erases or not"
    outbox.close()


async def test_a_full_disk_does_not_end_the_erasing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    insert_rows(outbox, 3)

    def refuse(action: int, *_: Any) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK  # VACUUM attaches a file

    event.listen(outbox.database.writing, "checkin", lambda one, _: one.set_authorizer(refuse), insert=True)
    assert await outbox.erase(NOW + SECOND) == 3
    assert "outbox.not_compacted" in caplog.messages
    outbox.close()


async def test_a_request_is_accepted_before_erasing_has_finished(outbox: InspectableOutbox) -> None:
    insert_rows(outbox, MANY)
    erasing = asyncio.ensure_future(outbox.erase(NOW + SECOND))
    await asyncio.sleep(0)
    request = callback(created_at=NOW + SOON, site="blog", client_bucket="198.51.100.1")
    accepted = await outbox.admit(request)
    left = sum(number is not None for number in column(outbox, "client_phone"))
    assert left > 1, "all was erased before the request was accepted"
    assert await erasing == MANY
    current = await outbox.callback_status(accepted.id)
    assert current is not None
    assert current.status == "queued"


async def test_request_keys_are_deleted_in_batches_of_a_thousand(outbox: InspectableOutbox) -> None:
    insert_rows(outbox, 1)
    (callback_id,) = column(outbox, "id")
    key_row = {"scope": "site:shop", "fingerprint": "", "callback_id": callback_id, "answer": {}, "created_at": NOW}
    key_rows = [key_row | {"key": str(number)} for number in range(MANY)]
    outbox.execute(insert(request_keys), key_rows)
    with statements(outbox, "DELETE FROM request_keys") as counts:
        assert await outbox.erase(NOW + SECOND) == 1
    assert counts == [1000, 1000, 500]


@pytest.mark.parametrize(("status", "kept"), [("queued", True), ("placed", False)])
async def test_a_request_key_is_kept_as_long_as_the_number_of_its_callback(
    outbox: InspectableOutbox, status: str, *, kept: bool
) -> None:
    key = RequestKey("site:shop", "key-1", "")
    accepted = await outbox.admit(callback(), key)
    if status == "placed":
        mark_placed(outbox, accepted.id)
    await outbox.erase(NOW + SECOND)
    assert (await outbox.read(partial(stored_replay, key=key, site="shop", phone=None)) is not None) == kept


async def test_of_the_keys_with_one_name_only_the_erased_ones_are_deleted(outbox: InspectableOutbox) -> None:
    done, waits = RequestKey("site:shop", "key-1", "a"), RequestKey("site:shop", "key-1", "b")
    mark_placed(outbox, (await outbox.admit(callback(), done)).id)
    await outbox.admit(callback(client_phone="79160000002"), waits)
    await outbox.erase(NOW + SECOND)
    assert outbox.scalars(select(request_keys.c.fingerprint)) == ["b"]


async def test_erasing_leaves_no_personal_data(outbox: InspectableOutbox) -> None:
    request = from_address("2001:db8::7", referrer="https://search.example/", message_on_ring="for Anna")
    await outbox.admit(request, RequestKey("site:shop", "key-1", "a" * 64))
    await outbox.admit(from_address("2001:db8:7::1"), RequestKey("site:shop", "key-2", "a" * 64))
    (claim,) = await outbox.claim_due(NOW, max_delay=SOON, lease=SOON, limit=1, cap=CAP)
    sent = callbacks.c.id == claim.callback_id
    outbox.execute(update(callbacks).where(sent).values(status="placed", lease_token=None, lease_until=None))
    outbox.execute(update(attempts).values(answer="called 79161234567", outcome="placed"))
    assert await outbox.erase(NOW + SECOND) == 2, "the duplicate too"
    with outbox.database.reading.begin() as connection:
        text = str([connection.execute(select(table)).all() for table in (callbacks, attempts, request_keys)])
    assert claim.callback_id in text, "the statistics stay"
    for trace in ("9161234567", "2001:db8", "shop.example", "search.example", "version", "Anna"):
        assert trace not in text


async def test_a_callback_that_stayed_held_is_cancelled_and_erased(outbox: InspectableOutbox) -> None:
    await hold(outbox)
    assert await outbox.erase(NOW) == 0, "not older than the limit"
    assert await outbox.erase(NOW + SECOND) == 1
    assert column(outbox, "status") == ["cancelled"]
    assert column(outbox, "reason") == ["personal_data_erased"]


async def test_a_queued_or_sending_callback_keeps_its_number(outbox: InspectableOutbox) -> None:
    for number, status in enumerate(("queued", "sending")):
        due_at: datetime | None = NOW if status == "queued" else None
        insert_rows(outbox, 1, status=status, due_at=due_at, client_phone=f"7916000000{number}")
    assert await outbox.erase(NOW + SECOND) == 0
    assert None not in column(outbox, "client_phone")


@pytest.mark.parametrize(("age", "kept"), [(KEEP_DUPLICATES, True), (KEEP_DUPLICATES + SECOND, False)])
async def test_a_duplicate_is_deleted_after_seven_days(
    outbox: InspectableOutbox, age: timedelta, *, kept: bool
) -> None:
    """Strangers can make any number of them."""
    assert timedelta(days=7) == KEEP_DUPLICATES
    first = await outbox.admit(callback())
    duplicate = callback()
    await outbox.admit(duplicate, RequestKey("site:shop", "key-1", "a"))
    await outbox.erase(NOW + age, keep=timedelta(days=90))
    left = [first.id, duplicate.id] if kept else [first.id]
    assert sorted(column(outbox, "id")) == sorted(left)
    assert sorted(outbox.scalars(select(status_history.c.callback_id))) == sorted(left), "with all that belongs to it"
    assert outbox.scalars(select(request_keys.c.callback_id)) == left[1:]


async def test_other_requests_are_not_deleted_with_the_duplicates(outbox: InspectableOutbox) -> None:
    for status in set(Status) - {Status.DUPLICATE}:
        insert_rows(outbox, 1, status=status, client_phone=f"7916{len(status):07}", due_at=None)
    await outbox.erase(NOW + 8 * DAY, keep=90 * DAY)
    assert len(column(outbox, "id")) == len(Status) - 1


async def test_duplicates_are_deleted_in_batches_of_a_thousand(outbox: InspectableOutbox) -> None:
    insert_rows(outbox, MANY, status="duplicate")
    with statements(outbox, "DELETE FROM callbacks") as counts:
        await outbox.erase(NOW + 8 * DAY, keep=90 * DAY)
    assert counts == [1000, 1000, 500]
    assert column(outbox, "id") == []


async def test_the_nonce_of_a_used_challenge_is_deleted_after_two_days(outbox: InspectableOutbox) -> None:
    await outbox.admit(callback(), nonce="0" * 32)
    for age, left in ((2 * DAY, 1), (2 * DAY + SECOND, 0)):
        await outbox.expire(NOW + age)
        assert len(outbox.scalars(select(used_challenges.c.nonce))) == left


async def test_two_processes_erasing_concurrently_erase_everything(postgresql: Any) -> None:
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    insert_rows(both[0], MANY)
    await asyncio.gather(*(outbox.erase(NOW + SECOND) for outbox in both))
    assert await both[0].erase(NOW + SECOND) == 0
    assert both[0].scalars(select(func.count(callbacks.c.client_phone))) == [0]
    for outbox in both:
        outbox.close()
