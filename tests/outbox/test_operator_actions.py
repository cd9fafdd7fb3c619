"""What people decide: every decision in every state, on both databases."""

from datetime import timedelta

import pytest

from app.errors import ConflictError, NotFoundError
from app.outbox.callback import Status
from app.outbox.outbox import Outbox
from tests.outbox.factories import NOW, InspectableOutbox, become, callback, from_address, rules

LATER = NOW + timedelta(hours=30)
DAY = timedelta(days=1)
MOVES = {
    ("release", "held"): "queued",
    ("retry", "failed"): "queued",
    ("retry", "unknown"): "queued",
    ("cancel", "queued"): "cancelled",
    ("cancel", "held"): "cancelled",
    ("cancel", "unknown"): "cancelled",
}


async def decide(outbox: Outbox, decision: str, callback_id: str) -> None:
    if decision == "cancel":
        await outbox.cancel(callback_id, LATER)
    else:
        await getattr(outbox, decision)(callback_id, LATER, timedelta(hours=2))


@pytest.mark.parametrize("status", [status.value for status in Status])
@pytest.mark.parametrize("decision", ["release", "retry", "cancel"])
async def test_a_decision_moves_a_callback_where_it_may_and_is_refused_elsewhere(
    outbox: InspectableOutbox, decision: str, status: str
) -> None:
    wish = callback(due_at=None)
    await outbox.accept(wish, None, rules())
    become(outbox, wish.id, status=status)
    expected = MOVES.get((decision, status), status)
    if expected == status:
        with pytest.raises(ConflictError) as refused:
            await decide(outbox, decision, wish.id)
        assert refused.value.code == "invalid_state"
        where = [before for (decided, before) in MOVES if decided == decision]
        assert f"is {status}: only one that is {' or '.join(where)} can be " in refused.value.detail
    else:
        await decide(outbox, decision, wish.id)
    glimpse = await outbox.callback_status(wish.id)
    assert glimpse is not None
    assert glimpse.status == expected
    assert await outbox.expire(LATER) == [], "its age counts from the decision"
    claims = await outbox.claim_due(LATER, max_delay=DAY, lease=DAY, limit=9)
    assert [claim.callback_id for claim in claims] == ([wish.id] if expected == "queued" != status else [])


@pytest.mark.parametrize("status", ["failed", "unknown"])
async def test_what_went_wrong_is_not_sent_again_when_its_number_is_called_for_a_later_wish(
    outbox: InspectableOutbox, status: str
) -> None:
    wish, later = callback(), callback(created_at=NOW + DAY)
    await outbox.accept(wish, None, rules())
    become(outbox, wish.id, status=status, due_at=None)
    await outbox.accept(later, None, rules())
    with pytest.raises(ConflictError) as refused:
        await decide(outbox, "retry", wish.id)
    assert refused.value.code == "already_called"
    await outbox.cancel(later.id, LATER)
    await decide(outbox, "retry", wish.id)


async def test_of_two_that_went_wrong_for_one_wish_one_is_sent_again(outbox: InspectableOutbox) -> None:
    wishes = [callback(created_at=NOW + hours * timedelta(hours=1)) for hours in range(2)]
    for wish in wishes:
        await outbox.accept(wish, None, rules())
        become(outbox, wish.id, status="failed", due_at=None)
    await decide(outbox, "retry", wishes[0].id)
    with pytest.raises(ConflictError) as refused:
        await decide(outbox, "retry", wishes[1].id)
    assert refused.value.code == "already_called"


async def test_what_went_wrong_is_sent_again_whatever_became_of_other_wishes(outbox: InspectableOutbox) -> None:
    failed = callback(message_on_ring="Order 17", client_bucket=None, api_key="crm")
    later = callback(message_on_ring="Order 18", client_bucket=None, api_key="crm", created_at=NOW + DAY)
    await outbox.accept(failed, None, rules())
    become(outbox, failed.id, status="failed", due_at=None)
    await outbox.accept(later, None, rules())
    await decide(outbox, "retry", failed.id)


async def test_what_was_erased_can_not_be_sent_again_and_not_even_be_claimed(outbox: InspectableOutbox) -> None:
    wish = callback(due_at=None)
    await outbox.accept(wish, None, rules())
    become(outbox, wish.id, status="failed")
    assert await outbox.erase(LATER) == 1
    with pytest.raises(ConflictError) as refused:
        await outbox.retry(wish.id, LATER, timedelta(hours=2))
    assert refused.value.code == "personal_data_erased"
    with pytest.raises(ConflictError) as refused:
        await outbox.release(wish.id, LATER, timedelta(hours=2))
    assert refused.value.code == "invalid_state"
    become(outbox, wish.id, status="queued", due_at=LATER, give_up_at=LATER + DAY)
    assert await outbox.claim_due(LATER, max_delay=DAY, lease=DAY, limit=9) == []


async def test_what_is_planned_for_later_is_given_up_only_after_that(outbox: Outbox) -> None:
    wish = callback(planned_time=LATER + DAY, hold="honeypot")
    await outbox.accept(wish, None, rules())
    await outbox.release(wish.id, LATER, timedelta(hours=2))
    assert await outbox.expire(LATER + DAY) == []
    assert await outbox.expire(LATER + DAY + timedelta(hours=2)) == [wish.id]


@pytest.mark.parametrize("decision", ["release", "retry", "cancel"])
async def test_a_decision_about_nothing_is_not_found(outbox: Outbox, decision: str) -> None:
    with pytest.raises(NotFoundError):
        await decide(outbox, decision, "nobody")


@pytest.mark.parametrize(("decision", "status"), list(MOVES))
async def test_an_id_that_a_stranger_was_given_decides_about_the_callback_that_stands(
    outbox: InspectableOutbox, decision: str, status: str
) -> None:
    wish, strangers = from_address("203.0.113.1"), from_address("198.51.100.1")
    await outbox.accept(wish, None, rules())
    given = await outbox.accept(strangers, None, rules())
    assert given.id == strangers.id != wish.id
    become(outbox, wish.id, status=status)
    await decide(outbox, decision, given.id)
    glimpse = await outbox.callback_status(wish.id)
    assert glimpse is not None
    assert glimpse.status == MOVES[decision, status]


async def test_a_cancelled_callback_is_never_sent_and_the_next_wish_is_a_new_one(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    await outbox.cancel(first.id, NOW)
    assert await outbox.claim_due(LATER, max_delay=DAY, lease=DAY, limit=9) == []
    again = await outbox.accept(callback(created_at=NOW + timedelta(seconds=5)), None, rules())
    assert (again.id != first.id, again.duplicate) == (True, False)


@pytest.mark.parametrize(("decision", "status"), list(MOVES))
async def test_a_decision_whose_commit_got_lost_is_recognised_as_our_own(
    outbox: InspectableOutbox, decision: str, status: str
) -> None:
    wish = callback(due_at=None)
    await outbox.accept(wish, None, rules())
    become(outbox, wish.id, status=status)
    await decide(outbox, decision, wish.id)
    await decide(outbox, decision, wish.id)
    glimpse = await outbox.callback_status(wish.id)
    assert glimpse is not None
    assert glimpse.status == MOVES[decision, status]
