"""The public status: it shows neither that a number was asked for before, nor that a request is held or blocked."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.outbox.callback import ACTIVE_STATUSES, Status
from app.outbox.public_status import VISIBLE_FOR, CallbackStatus, PublicStatus
from tests.outbox.factories import NOW, InspectableOutbox, callback, distinct, store, update_columns

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
LATER = NOW + MINUTE
SHOWN = {
    "held": "queued",
    "queued": "queued",
    "sending": "queued",
    "placed": "placed",
    "failed": "failed",
    "unknown": "unknown",
    "cancelled": "failed",
}


async def shown(outbox: InspectableOutbox, callback_id: str, age: timedelta) -> str | None:
    """Return the status that a visitor sees that long after `NOW`."""
    found = await outbox.public_status(callback_id, NOW + age)
    return found and found.status


async def stored(outbox: InspectableOutbox, status: str, **columns: Any) -> str:
    """Store a callback that was requested at NOW, and got its status a second later."""
    (request,) = await store(outbox, callback())
    update_columns(outbox, request, **{"status": status, "due_at": None, "updated_at": NOW + SECOND} | columns)
    return request


@pytest.mark.parametrize("status", SHOWN)
async def test_a_visitor_sees_one_of_four_statuses(outbox: InspectableOutbox, status: str) -> None:
    request = await stored(outbox, status)
    assert await shown(outbox, request, MINUTE) == SHOWN[status]
    assert set(SHOWN) | {"duplicate"} == set(Status)


@pytest.mark.parametrize("status", SHOWN)
async def test_every_callback_is_queued_for_its_first_three_seconds(outbox: InspectableOutbox, status: str) -> None:
    """Otherwise one that was merged could be faster than a call."""
    request = await stored(outbox, status)
    assert await shown(outbox, request, timedelta(0)) == "queued"
    assert await shown(outbox, request, 3 * SECOND - timedelta(microseconds=1)) == "queued"
    assert await shown(outbox, request, 3 * SECOND) == SHOWN[status]


async def test_an_id_answers_for_seven_days(outbox: InspectableOutbox) -> None:
    assert VISIBLE_FOR == 7 * DAY
    request = await stored(outbox, "placed")
    assert await shown(outbox, request, VISIBLE_FOR) == "placed"
    assert await shown(outbox, request, VISIBLE_FOR + SECOND) is None


async def test_an_erased_and_an_unknown_id_do_not_answer(outbox: InspectableOutbox) -> None:
    request = await stored(outbox, "placed")
    await outbox.erase(NOW + SECOND)
    assert await shown(outbox, request, MINUTE) is None
    assert await shown(outbox, "unknown", MINUTE) is None


async def test_it_holds_the_time_that_was_promised(outbox: InspectableOutbox) -> None:
    request = await stored(outbox, "queued", call_expected_at=LATER)
    assert await outbox.public_status(request, NOW) == PublicStatus(request, Status.QUEUED, LATER)
    update_columns(outbox, request, call_expected_at=None)
    assert await outbox.public_status(request, NOW) == PublicStatus(request, Status.QUEUED, None)


async def duplicate_of(outbox: InspectableOutbox, original: str, **changes: Any) -> str:
    (request,) = await store(
        outbox, distinct(1, **{"created_at": LATER} | changes), status=Status.DUPLICATE, duplicate_of=original
    )
    return request


@pytest.mark.parametrize("status", SHOWN)
async def test_a_duplicate_shows_the_status_of_its_original(outbox: InspectableOutbox, status: str) -> None:
    request = await duplicate_of(outbox, await stored(outbox, status))
    assert await shown(outbox, request, 2 * MINUTE) == SHOWN[status]


@pytest.mark.parametrize(
    ("took", "queued_for"),
    [
        (0 * SECOND, 3 * SECOND),
        (2 * SECOND, 3 * SECOND),
        (9 * SECOND, 9 * SECOND),
        (59 * SECOND, 59 * SECOND),
        (60 * SECOND, 60 * SECOND),
        (9 * MINUTE, 60 * SECOND),
    ],
)
async def test_a_duplicate_is_queued_for_as_long_as_its_original_took_and_a_minute_at_most(
    outbox: InspectableOutbox, took: timedelta, queued_for: timedelta
) -> None:
    request = await duplicate_of(outbox, await stored(outbox, "placed", updated_at=NOW + took))
    assert await shown(outbox, request, MINUTE + queued_for - timedelta(microseconds=1)) == "queued"
    assert await shown(outbox, request, MINUTE + queued_for) == "placed"


async def test_a_duplicate_keeps_the_time_that_its_own_visitor_was_promised(outbox: InspectableOutbox) -> None:
    original = await stored(outbox, "queued", call_expected_at=NOW)
    request = await duplicate_of(outbox, original, call_expected_at=LATER)
    assert await outbox.public_status(request, LATER) == PublicStatus(request, Status.QUEUED, LATER)


async def test_two_visitors_see_the_same_of_a_new_and_of_a_known_number(outbox: InspectableOutbox) -> None:
    """With Chaser as fast for both, at any offset."""
    await outbox.admit(callback())
    known = await outbox.admit(distinct(1, client_phone=callback().client_phone, created_at=LATER))
    new = await outbox.admit(distinct(2, created_at=LATER))
    took = 2 * SECOND
    for number, answer in enumerate((known, new)):
        found = await outbox.callback_status(answer.id)
        assert found == CallbackStatus("shop", Status.QUEUED if number else Status.DUPLICATE)
    (original,) = [row for row in await outbox.read(_queued) if row != new.id]
    update_columns(outbox, original, status="placed", due_at=None, updated_at=NOW + took)
    update_columns(outbox, new.id, status="placed", due_at=None, updated_at=LATER + took)
    for half_seconds in range(12):
        age = MINUTE + half_seconds * SECOND / 2
        assert await shown(outbox, known.id, age) == await shown(outbox, new.id, age)


def _queued(connection: Any) -> list[str]:
    return [row.id for row in connection.exec_driver_sql("SELECT id FROM callbacks WHERE status = 'queued'")]


@pytest.mark.parametrize("status", ["placed", "duplicate"])
async def test_a_status_is_read_by_one_statement(outbox: InspectableOutbox, status: str) -> None:
    """A second one for a duplicate would show by its time that there is another callback."""
    original = await stored(outbox, "placed")
    request = original if status == "placed" else await duplicate_of(outbox, original)
    statements: list[str] = []
    listener = (outbox.database.reading, "before_cursor_execute", lambda *call: statements.append(call[2]))
    event.listen(*listener)
    assert await shown(outbox, request, 2 * MINUTE) == "placed"
    event.remove(*listener)
    assert [one.partition(" ")[0] for one in statements if not one.startswith("BEGIN")] == ["SELECT"]


async def test_the_true_status_is_that_of_the_row(outbox: InspectableOutbox) -> None:
    request = await duplicate_of(outbox, await stored(outbox, "placed"))
    assert await outbox.callback_status(request) == CallbackStatus("shop", Status.DUPLICATE)
    assert await outbox.callback_status("unknown") is None
    assert Status.DUPLICATE not in ACTIVE_STATUSES
