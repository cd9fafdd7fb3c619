"""Duplicates as they are stored: their rows, and what a merge changes of the original; on both databases."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.outbox.callback import Status
from app.outbox.schema import callbacks
from tests.admission.deciding import (
    API_KEY,
    HOUR,
    MINUTE,
    NOW,
    OTHER_ADDRESS,
    OTHER_PHONE,
    SECOND,
)
from tests.outbox.factories import (
    InspectableOutbox,
    callback,
    from_address,
    mark_placed,
    store,
    store_sent,
    update_columns,
)

WINDOW = MINUTE
MICROSECOND = timedelta(microseconds=1)
LATER = NOW + 5 * HOUR


async def row(outbox: InspectableOutbox, callback_id: str, *names: str) -> tuple[Any, ...]:
    with outbox.database.reading.begin() as connection:
        columns = [callbacks.c[name] for name in names]
        return tuple(connection.execute(select(*columns).where(callbacks.c.id == callback_id)).one())


async def test_a_stored_duplicate_never_rings_and_names_its_original(outbox: InspectableOutbox) -> None:
    first = await outbox.admit(callback())
    mine = callback(created_at=NOW + SECOND, planned_time=None)
    await outbox.admit(mine)
    names = ("status", "duplicate_of", "due_at", "client_phone", "rings_at", "held_for", "reason")
    assert await row(outbox, mine.id, *names) == (
        "duplicate",
        first.id,
        None,
        mine.client_phone,
        NOW + SECOND,
        None,
        None,
    )
    assert await outbox.waiting() == 1
    record = await outbox.get(mine.id)
    assert record is not None
    history = [(change["from_status"], change["to_status"], change["actor"]) for change in record.history]
    assert history == [(None, "duplicate", "visitor")]


@pytest.mark.parametrize(("age", "expected"), [(WINDOW, "duplicate"), (WINDOW + MICROSECOND, "queued")])
async def test_a_placed_call_covers_a_request_within_the_window(
    outbox: InspectableOutbox, age: timedelta, expected: str
) -> None:
    sent = await store_sent(outbox, callback(created_at=NOW - age))
    mine = callback()
    await outbox.admit(mine)
    status, original = await row(outbox, mine.id, "status", "duplicate_of")
    assert (status, original) == (expected, sent if expected == "duplicate" else None)


TO_BE_SENT: list[dict[str, Any]] = [
    {},
    {"status": "sending", "due_at": None, "lease_token": "t", "lease_until": NOW + HOUR, "rings_at": NOW + HOUR},
    {"status": "unknown", "reason": "resend_once", "due_at": NOW + HOUR},
]


@pytest.mark.parametrize("state", TO_BE_SENT, ids=["queued", "sending", "resend due"])
async def test_a_callback_still_to_be_sent_covers_a_late_request_and_is_kept_for_it(
    outbox: InspectableOutbox, state: dict[str, Any]
) -> None:
    (first,) = await store(outbox, callback())
    update_columns(outbox, first, **state | {"updated_at": NOW})
    late = [callback(created_at=NOW + HOUR + seconds * SECOND) for seconds in (9, 0)]  # the clocks of replicas differ
    for one in late:
        await outbox.admit(one)
        assert await row(outbox, one.id, "status", "duplicate_of") == ("duplicate", first)
        assert await row(outbox, first, "give_up_at") == (NOW + 3 * HOUR + 9 * SECOND,)
    assert (await row(outbox, first, "updated_at")) == (NOW,), "its visitors see no change"


@pytest.mark.parametrize("status", ["failed", "cancelled", "held"])
async def test_a_stored_callback_that_ended_or_is_held_covers_none(outbox: InspectableOutbox, status: str) -> None:
    (first,) = await store(outbox, callback())
    update_columns(outbox, first, status=status, due_at=None)
    mine = callback()
    await outbox.admit(mine)
    assert await row(outbox, mine.id, "status") == ("queued",)


async def test_a_retrys_wait_ends_with_the_next_request(outbox: InspectableOutbox) -> None:
    (waiting,) = await store(outbox, callback(), due_at=NOW + 30 * MINUTE)
    await outbox.admit(callback(created_at=NOW + SECOND))
    assert await row(outbox, waiting, "status", "due_at") == ("queued", NOW + SECOND)
    await outbox.admit(callback(created_at=NOW + MINUTE))
    assert await row(outbox, waiting, "due_at") == (NOW + SECOND,), "it is due already"


async def test_a_resend_keeps_its_time(outbox: InspectableOutbox) -> None:
    unknown = await store_sent(outbox, callback(), Status.UNKNOWN, "unknown", due_at=NOW + MINUTE)
    await outbox.admit(callback(created_at=NOW + SECOND))
    assert await row(outbox, unknown, "due_at") == (NOW + MINUTE,)


async def test_a_call_placed_for_later_covers_those_who_ask_for_that_time(outbox: InspectableOutbox) -> None:
    sent = await store_sent(outbox, callback(planned_time=LATER))
    mine, now = callback(created_at=LATER - HOUR, planned_time=LATER), callback(created_at=LATER - HOUR)
    for one in (mine, now):
        await outbox.admit(one)
    assert await row(outbox, mine.id, "duplicate_of") == (sent,)
    assert await row(outbox, now.id, "duplicate_of", "status") == (None, "queued")


async def test_manager_and_message_of_an_api_key_are_read_as_they_were_sent(outbox: InspectableOutbox) -> None:
    order = {"api_key": API_KEY, "message_on_ring": "Заказ «17»", "message_given": True}
    first = await outbox.admit(callback(**order))
    assert (await outbox.admit(callback(**order))).id == first.id
    rendered = callback(api_key=API_KEY, message_on_ring="Заказ «17»")
    assert (await outbox.admit(rendered)).id == rendered.id
    for other in ({"message_on_ring": "Заказ «18»"}, {"manager_phone": "74950000001", "manager_given": True}):
        mine = callback(**order | other)
        assert (await outbox.admit(mine)).id == mine.id
    assert (await outbox.admit(callback(message_on_ring="of the settings"))).duplicate is False
    assert await outbox.waiting() == 4


async def test_duplicates_of_a_batch_are_stored_with_their_original(outbox: InspectableOutbox) -> None:
    some = [callback(created_at=NOW + number * timedelta(milliseconds=1)) for number in range(100)]
    await asyncio.gather(*(outbox.admit(one) for one in some))
    originals = outbox.scalars(select(callbacks.c.duplicate_of))
    assert sorted(originals, key=str) == [some[0].id] * 99 + [None]
    assert await outbox.waiting() == 1


@pytest.mark.parametrize("moved", [{"account": "4712"}, {"chaser_site_id": 54321}], ids=lambda moved: next(iter(moved)))
async def test_a_stored_callback_of_a_former_account_covers_none(
    outbox: InspectableOutbox, moved: dict[str, Any]
) -> None:
    (old,) = await store(outbox, callback())
    mine, again = callback(**moved), callback(**moved)
    for one in (mine, again):
        await outbox.admit(one)
    assert await row(outbox, mine.id, "duplicate_of") == (None,)
    assert await row(outbox, again.id, "duplicate_of") == (mine.id,)
    mark_placed(outbox, old)
    await outbox.admit(third := callback(created_at=NOW + MINUTE, account="4713"))
    assert await row(outbox, third.id, "duplicate_of") == (old,)


async def test_another_visitor_is_answered_as_for_any_number(outbox: InspectableOutbox) -> None:
    await outbox.admit(callback())
    known = await outbox.admit(from_address(OTHER_ADDRESS, created_at=NOW + SECOND))
    free = await outbox.admit(from_address(OTHER_ADDRESS, created_at=NOW + SECOND, client_phone=OTHER_PHONE))
    assert known == replace(free, id=known.id)
    assert await outbox.waiting() == 2


async def test_an_erased_callback_covers_none(outbox: InspectableOutbox) -> None:
    sent = await store_sent(outbox, callback(created_at=NOW - SECOND))
    await outbox.erase(NOW)
    mine = callback()
    await outbox.admit(mine)
    assert await row(outbox, mine.id, "duplicate_of") == (None,)
    assert await row(outbox, sent, "client_phone") == (None,)
