"""Attempts for which their phone has no room are postponed, so that no outage of Chaser ends in a burst of calls."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.outbox.callback import Status
from app.outbox.claims import AttemptOutcome, Claim
from app.outbox.phone_callbacks import PhoneCap, Wish
from app.outbox.rings import Ring
from app.outbox.schema import attempts, callbacks
from tests.outbox.factories import NOW, InspectableOutbox, at_its_time, callback, limits, store, store_sent

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TWO = PhoneCap(limits("2/hour;3/day"), at_its_time)


async def claim(outbox: InspectableOutbox, now: datetime = NOW, cap: PhoneCap = TWO, limit: int = 9) -> list[Claim]:
    return await outbox.claim_due(now, max_delay=HOUR, lease=HOUR, limit=limit, cap=cap)


async def waiting(outbox: InspectableOutbox, count: int, **changes: Any) -> list[str]:
    """Store callbacks of one phone that wait since the morning, each of another site."""
    changes = {"created_at": NOW - 3 * HOUR, "give_up_at": NOW + DAY} | changes
    return [
        (await store(outbox, callback(site=f"s-{number}", due_at=NOW - (9 - number) * MINUTE, **changes)))[0]
        for number in range(count)
    ]


def due_at(outbox: InspectableOutbox, callback_id: str) -> datetime | None:
    (due,) = outbox.scalars(select(callbacks.c.due_at).where(callbacks.c.id == callback_id))
    assert due is None or isinstance(due, datetime)
    return due


async def test_no_more_callbacks_of_a_phone_are_claimed_than_it_has_room_for(outbox: InspectableOutbox) -> None:
    first, second, third, fourth = await waiting(outbox, 4)
    (other,) = await store(outbox, callback(client_phone="79160000002"))
    assert {one.callback_id for one in await claim(outbox)} == {first, second, other}, "those that wait longest"
    assert [due_at(outbox, one) for one in (third, fourth)] == [NOW + MINUTE] * 2
    current = await outbox.callback_status(third)
    assert current is not None
    assert current.status is Status.QUEUED
    assert await claim(outbox) == []
    later = NOW + HOUR
    (next_one,) = await claim(outbox, later)
    assert next_one.callback_id in (third, fourth)
    assert await claim(outbox, later + HOUR) == [], "three a day"
    assert [one.callback_id for one in await claim(outbox, NOW + DAY - MINUTE)] == []


async def test_attempts_are_counted_whichever_callback_they_are_of(outbox: InspectableOutbox) -> None:
    for number, outcome in enumerate(("placed", "unknown")):
        await store_sent(outbox, callback(site=f"o-{number}", created_at=NOW - 30 * MINUTE), Status.FAILED, outcome)
    (one,) = await waiting(outbox, 1)
    assert await claim(outbox) == []
    assert [found.callback_id for found in await claim(outbox, NOW + 30 * MINUTE)] == [one]


@pytest.mark.parametrize("outcome", ["not_sent", "refused", "forbidden"])
async def test_attempts_that_did_not_ring_do_not_count(outbox: InspectableOutbox, outcome: str) -> None:
    for number in range(3):
        await store_sent(outbox, callback(site=f"o-{number}", created_at=NOW - MINUTE), Status.FAILED, outcome)
    (one,) = await waiting(outbox, 1)
    assert [found.callback_id for found in await claim(outbox)] == [one]


async def test_calls_that_were_planned_for_this_time_count(outbox: InspectableOutbox) -> None:
    for number in range(2):
        planned = callback(site=f"o-{number}", created_at=NOW - 2 * DAY, planned_time=NOW + 20 * MINUTE)
        await store_sent(outbox, planned)
    (one,) = await waiting(outbox, 1)
    assert await claim(outbox) == []
    assert due_at(outbox, one) == NOW + MINUTE


async def test_a_callback_counts_when_it_rings_and_not_when_it_is_sent(outbox: InspectableOutbox) -> None:
    planned = [NOW + 5 * HOUR, NOW + 5 * HOUR, NOW + 9 * HOUR]
    for number, at in enumerate(planned):
        await store(outbox, callback(site=f"s-{number}", planned_time=at))
    assert len(await claim(outbox)) == 3, "all are sent to Chaser now"
    (last,) = await waiting(outbox, 1)
    assert await claim(outbox, cap=PhoneCap(limits("2/hour"), at_its_time)) != []
    assert due_at(outbox, last) is None


async def test_an_attempt_keeps_when_it_rings(outbox: InspectableOutbox) -> None:
    def closed(_wish: Wish, now: datetime) -> Ring:
        return Ring(now + HOUR, now + 9 * HOUR, certain=False)

    (one,) = await store(outbox, callback())
    (found,) = await claim(outbox, NOW + MINUTE, PhoneCap(limits("9/hour"), closed))
    assert found.callback_id == one
    ring = (NOW + MINUTE + HOUR, NOW + MINUTE + 9 * HOUR)
    for table in (callbacks, attempts):
        (at,), (until,) = outbox.scalars(select(table.c.rings_at)), outbox.scalars(select(table.c.rings_until))
        assert (at, until) == ring
    not_sent = AttemptOutcome(Status.QUEUED, NOW + 2 * MINUTE, None, "not_sent", None, 1, None, None)
    assert await outbox.finish_attempt(found, not_sent, NOW + MINUTE, TWO)
    (again,) = await claim(outbox, NOW + 2 * MINUTE)
    assert again.number == 2
    assert outbox.scalars(select(attempts.c.rings_at).order_by(attempts.c.number)) == [ring[0], NOW + 2 * MINUTE]


async def test_a_postponed_callback_expires_like_any_other(outbox: InspectableOutbox) -> None:
    for number in range(2):
        await store_sent(outbox, callback(site=f"o-{number}", created_at=NOW))
    (one,) = await waiting(outbox, 1, give_up_at=NOW + 10 * MINUTE)
    assert await claim(outbox) == []
    assert await outbox.expire(NOW + 10 * MINUTE) == [one]


async def test_a_request_does_not_bring_a_postponed_callback_forward(outbox: InspectableOutbox) -> None:
    for number in range(2):
        await store_sent(outbox, callback(site=f"o-{number}", created_at=NOW))
    (one,) = await waiting(outbox, 1)
    assert await claim(outbox) == []
    await outbox.admit(callback(site="s-0", created_at=NOW + MINUTE / 2))
    assert await claim(outbox, NOW + MINUTE / 2) == []
    assert due_at(outbox, one) == NOW + MINUTE / 2 + MINUTE
