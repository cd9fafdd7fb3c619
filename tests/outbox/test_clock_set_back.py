"""The clock is set back: nobody is limited for longer than a window, nobody is phoned twice, nothing waits for long."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from limits import parse_many
from sqlalchemy import select

from app.errors import TooManyRequestsError
from app.outbox.accepting import AdmissionConfig
from app.outbox.callback import Status
from app.outbox.claims import AttemptOutcome
from app.outbox.outbox import Outbox
from app.outbox.quotas import Quotas
from app.outbox.schema import callbacks
from tests.outbox.factories import NOW, InspectableOutbox, become, callback, rules, send

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
FURTHEST = timedelta(minutes=30)
WIDE = tuple(parse_many("999/hour"))
# By the client: the wait for a phone is told coarsely.
TWICE = rules(Quotas(WIDE, tuple(parse_many("2/hour")), WIDE, WIDE))


async def ask(outbox: InspectableOutbox, now: datetime, terms: AdmissionConfig = TWICE, **changes: Any) -> float:
    """Ask for a number that was perhaps asked for before; give the seconds to wait, 0 when it was accepted as new.

    What is accepted is sent at once: while it waited, whoever asks again would be answered with it.
    """
    try:
        accepted = await outbox.accept(callback(created_at=now, **changes), None, terms)
    except TooManyRequestsError as refused:
        return refused.retry_after or 0
    assert not accepted.duplicate
    send(outbox, accepted.id)
    return 0


def asked_at(outbox: InspectableOutbox) -> list[datetime]:
    return outbox.scalars(select(callbacks.c.created_at).order_by(callbacks.c.created_at))


@pytest.mark.parametrize("back", [HOUR, 5 * HOUR, timedelta(days=400)])
async def test_a_cap_used_up_before_the_jump_limits_for_one_window_from_there_and_not_again(
    outbox: InspectableOutbox, back: timedelta
) -> None:
    assert [await ask(outbox, NOW - 10 * MINUTE), await ask(outbox, NOW - 5 * MINUTE)] == [0, 0]
    await outbox.expire(NOW)
    now = NOW - back
    assert await ask(outbox, now) == 50 * 60
    assert await ask(outbox, now + 49 * MINUTE) == 60
    assert [await ask(outbox, now + 50 * MINUTE), await ask(outbox, now + 55 * MINUTE)] == [0, 0]
    # The clock comes by the times it has shown before: what was asked for then limits nobody again.
    assert await ask(outbox, now + HOUR) == 50 * 60
    assert [await ask(outbox, now + 110 * MINUTE), await ask(outbox, now + 115 * MINUTE)] == [0, 0]


async def test_the_jump_is_noticed_also_while_nobody_asks(outbox: InspectableOutbox) -> None:
    assert [await ask(outbox, NOW - 10 * MINUTE), await ask(outbox, NOW - 5 * MINUTE)] == [0, 0]
    now = NOW - HOUR
    await outbox.expire(now)  # the first look: the newest request may have come this very moment
    assert asked_at(outbox) == [now - 5 * MINUTE, now]
    assert await ask(outbox, now + 54 * MINUTE) == 60


async def test_a_clock_that_is_set_forward_and_back_again_limits_nobody_longer(outbox: InspectableOutbox) -> None:
    await outbox.expire(NOW)
    assert [await ask(outbox, NOW), await ask(outbox, NOW + HOUR + 5 * MINUTE)] == [0, 0]
    await outbox.expire(NOW + HOUR + 8 * MINUTE)
    assert await ask(outbox, NOW + 8 * MINUTE) == 52 * 60, "the first one 8 minutes ago, the other one 3"
    assert await ask(outbox, NOW + HOUR) == 0


async def test_what_was_asked_for_just_before_the_jump_is_the_same_wish_just_after_it(
    outbox: InspectableOutbox,
) -> None:
    first = await outbox.accept(callback(), None, rules())
    send(outbox, first.id)
    now = NOW - HOUR
    again = await outbox.accept(callback(created_at=now), None, rules())
    assert (again.id, again.duplicate) == (first.id, True)
    assert await ask(outbox, now + 3 * MINUTE, rules()) == 0


async def test_a_call_that_was_made_at_once_is_not_one_to_come_after_the_jump(outbox: InspectableOutbox) -> None:
    """It was expected when it was asked for, and that moves with it."""
    assert await ask(outbox, NOW - 30 * MINUTE, rules()) == 0
    night = callback(client_phone="79160000002", nwt_action="always_call", call_expected_at=NOW + 9 * HOUR)
    assert (await outbox.accept(night, None, rules())).id == night.id
    now = NOW - HOUR
    await outbox.expire(now)
    assert await ask(outbox, now + 3 * MINUTE, rules()) == 0
    queue = select(callbacks.c.call_expected_at).where(callbacks.c.id == night.id)
    assert outbox.scalars(queue) == [NOW + 9 * HOUR]


async def test_what_was_asked_for_long_before_the_jump_is_another_wish(outbox: InspectableOutbox) -> None:
    assert await ask(outbox, NOW - 30 * MINUTE, rules()) == 0
    assert await ask(outbox, NOW, rules(), client_phone="79160000002") == 0
    assert await ask(outbox, NOW - HOUR, rules()) == 0


async def test_times_that_are_not_ahead_stay_as_they_are(outbox: InspectableOutbox) -> None:
    times = [NOW - 90 * MINUTE, NOW - HOUR, NOW - HOUR + MINUTE]
    for number, each in enumerate(times):
        await ask(outbox, each, rules(), client_phone=f"7916000000{number}")
    await outbox.expire(NOW - HOUR)  # the clocks of two replicas may differ by a minute
    assert asked_at(outbox) == times


def wait_until(outbox: InspectableOutbox, callback_id: str, written_at: datetime, due_at: datetime) -> None:
    become(outbox, callback_id, status="queued", due_at=due_at, updated_at=written_at)


async def due(outbox: Outbox, now: datetime) -> list[str]:
    claims = await outbox.claim_due(now, max_delay=FURTHEST, lease=MINUTE, limit=9)
    for claim in claims:
        again = AttemptOutcome(Status.QUEUED, now, None, "not_sent", None, 1, None, None)
        assert await outbox.finish_attempt(claim, again, now)
    return [claim.callback_id for claim in claims]


@pytest.mark.parametrize("back", [10 * MINUTE, HOUR])
async def test_a_wait_begins_anew_when_the_clock_is_set_back_and_is_no_longer_than_it_was(
    outbox: InspectableOutbox, back: timedelta
) -> None:
    wish = await outbox.accept(callback(created_at=NOW - 2 * HOUR), None, rules())
    assert await outbox.expire(NOW) == [wish.id]  # the time that it has seen before the jump
    wait_until(outbox, wish.id, written_at=NOW, due_at=NOW + 5 * MINUTE)
    become(outbox, wish.id, give_up_at=NOW + HOUR)
    now = NOW - back
    await outbox.expire(now)
    assert await due(outbox, now + 5 * MINUTE - MINUTE / 60) == []
    assert await due(outbox, now + 5 * MINUTE) == [wish.id]


async def test_the_clock_may_have_been_set_back_while_the_service_was_down(outbox: InspectableOutbox) -> None:
    wish = await outbox.accept(callback(), None, rules())
    wait_until(outbox, wish.id, written_at=NOW, due_at=NOW + 5 * MINUTE)
    now = NOW - 20 * MINUTE
    await outbox.expire(now)
    assert await due(outbox, now + 5 * MINUTE) == [wish.id]
