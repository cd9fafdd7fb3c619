"""The clock is set back: limits apply for one window at most, no call is doubled, and no wait gets longer."""

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
from tests.outbox.factories import NOW, InspectableOutbox, callback, mark_placed, rules, update_columns

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
MAX_DELAY = timedelta(minutes=30)
WIDE = tuple(parse_many("999/hour"))
# Limits the client: the wait for a phone is rounded up.
TWICE = rules(Quotas(WIDE, tuple(parse_many("2/hour")), WIDE, WIDE))


async def ask(outbox: InspectableOutbox, now: datetime, config: AdmissionConfig = TWICE, **changes: Any) -> float:
    """Request a callback; return the wait in seconds, 0 if it was accepted as new.

    An accepted callback is marked as placed at once: while queued it would absorb later requests.
    """
    try:
        accepted = await outbox.accept(callback(created_at=now, **changes), None, config)
    except TooManyRequestsError as refused:
        return refused.retry_after or 0
    assert not accepted.duplicate
    mark_placed(outbox, accepted.id)
    return 0


def creation_times(outbox: InspectableOutbox) -> list[datetime]:
    return outbox.scalars(select(callbacks.c.created_at).order_by(callbacks.c.created_at))


@pytest.mark.parametrize("back", [HOUR, 5 * HOUR, timedelta(days=400)])
async def test_a_limit_reached_before_the_jump_applies_for_one_window_and_not_again(
    outbox: InspectableOutbox, back: timedelta
) -> None:
    assert [await ask(outbox, NOW - 10 * MINUTE), await ask(outbox, NOW - 5 * MINUTE)] == [0, 0]
    await outbox.expire(NOW)
    now = NOW - back
    assert await ask(outbox, now) == 50 * 60
    assert await ask(outbox, now + 49 * MINUTE) == 60
    assert [await ask(outbox, now + 50 * MINUTE), await ask(outbox, now + 55 * MINUTE)] == [0, 0]
    # The clock passes the times it has shown before: earlier requests must not count again.
    assert await ask(outbox, now + HOUR) == 50 * 60
    assert [await ask(outbox, now + 110 * MINUTE), await ask(outbox, now + 115 * MINUTE)] == [0, 0]


async def test_the_jump_is_detected_without_requests(outbox: InspectableOutbox) -> None:
    assert [await ask(outbox, NOW - 10 * MINUTE), await ask(outbox, NOW - 5 * MINUTE)] == [0, 0]
    now = NOW - HOUR
    await outbox.expire(now)  # the first reading: the newest request may have come at this very moment
    assert creation_times(outbox) == [now - 5 * MINUTE, now]
    assert await ask(outbox, now + 54 * MINUTE) == 60


async def test_a_clock_set_forward_and_back_again_extends_no_limit(outbox: InspectableOutbox) -> None:
    await outbox.expire(NOW)
    assert [await ask(outbox, NOW), await ask(outbox, NOW + HOUR + 5 * MINUTE)] == [0, 0]
    await outbox.expire(NOW + HOUR + 8 * MINUTE)
    assert await ask(outbox, NOW + 8 * MINUTE) == 52 * 60, "the first one 8 minutes ago, the other one 3"
    assert await ask(outbox, NOW + HOUR) == 0


async def test_a_request_just_before_the_jump_absorbs_one_just_after_it(
    outbox: InspectableOutbox,
) -> None:
    first = await outbox.accept(callback(), None, rules())
    mark_placed(outbox, first.id)
    now = NOW - HOUR
    again = await outbox.accept(callback(created_at=now), None, rules())
    assert (again.id, again.duplicate) == (first.id, True)
    assert await ask(outbox, now + 3 * MINUTE, rules()) == 0


async def test_an_immediate_call_does_not_count_as_upcoming_after_the_jump(outbox: InspectableOutbox) -> None:
    """Its expected time equals the time of its request, and moves along with it."""
    assert await ask(outbox, NOW - 30 * MINUTE, rules()) == 0
    night = callback(client_phone="79160000002", nwt_action="always_call", call_expected_at=NOW + 9 * HOUR)
    assert (await outbox.accept(night, None, rules())).id == night.id
    now = NOW - HOUR
    await outbox.expire(now)
    assert await ask(outbox, now + 3 * MINUTE, rules()) == 0
    queue = select(callbacks.c.call_expected_at).where(callbacks.c.id == night.id)
    assert outbox.scalars(queue) == [NOW + 9 * HOUR]


async def test_a_request_long_before_the_jump_absorbs_none_after_it(outbox: InspectableOutbox) -> None:
    assert await ask(outbox, NOW - 30 * MINUTE, rules()) == 0
    assert await ask(outbox, NOW, rules(), client_phone="79160000002") == 0
    assert await ask(outbox, NOW - HOUR, rules()) == 0


async def test_times_not_in_the_future_are_unchanged(outbox: InspectableOutbox) -> None:
    times = [NOW - 90 * MINUTE, NOW - HOUR, NOW - HOUR + MINUTE]
    for number, each in enumerate(times):
        await ask(outbox, each, rules(), client_phone=f"7916000000{number}")
    await outbox.expire(NOW - HOUR)  # the clocks of two replicas may differ by a minute
    assert creation_times(outbox) == times


def wait_until(outbox: InspectableOutbox, callback_id: str, written_at: datetime, due_at: datetime) -> None:
    update_columns(outbox, callback_id, status="queued", due_at=due_at, updated_at=written_at)


async def due(outbox: Outbox, now: datetime) -> list[str]:
    claims = await outbox.claim_due(now, max_delay=MAX_DELAY, lease=MINUTE, limit=9)
    for claim in claims:
        again = AttemptOutcome(Status.QUEUED, now, None, "not_sent", None, 1, None, None)
        assert await outbox.finish_attempt(claim, again, now)
    return [claim.callback_id for claim in claims]


@pytest.mark.parametrize("back", [10 * MINUTE, HOUR])
async def test_a_wait_restarts_when_the_clock_is_set_back_and_gets_no_longer(
    outbox: InspectableOutbox, back: timedelta
) -> None:
    request = await outbox.accept(callback(created_at=NOW - 2 * HOUR), None, rules())
    assert await outbox.expire(NOW) == [request.id]  # records the time before the jump
    wait_until(outbox, request.id, written_at=NOW, due_at=NOW + 5 * MINUTE)
    update_columns(outbox, request.id, give_up_at=NOW + HOUR)
    now = NOW - back
    await outbox.expire(now)
    assert await due(outbox, now + 5 * MINUTE - MINUTE / 60) == []
    assert await due(outbox, now + 5 * MINUTE) == [request.id]


async def test_the_clock_may_have_been_set_back_while_the_service_was_down(outbox: InspectableOutbox) -> None:
    request = await outbox.accept(callback(), None, rules())
    wait_until(outbox, request.id, written_at=NOW, due_at=NOW + 5 * MINUTE)
    now = NOW - 20 * MINUTE
    await outbox.expire(now)
    assert await due(outbox, now + 5 * MINUTE) == [request.id]
