"""Operator actions: every action in every status; on both databases."""

from datetime import timedelta

import pytest

from app.errors import ConflictError, NotFoundError
from app.outbox.callback import Status
from app.outbox.outbox import Outbox
from tests.outbox.factories import NOW, InspectableOutbox, callback, from_address, rules, update_columns

LATER = NOW + timedelta(hours=30)
DAY = timedelta(days=1)
TRANSITIONS = {
    ("release", "held"): "queued",
    ("retry", "failed"): "queued",
    ("retry", "unknown"): "queued",
    ("cancel", "queued"): "cancelled",
    ("cancel", "held"): "cancelled",
    ("cancel", "unknown"): "cancelled",
}


async def perform(outbox: Outbox, action: str, callback_id: str) -> None:
    if action == "cancel":
        await outbox.cancel(callback_id, LATER)
    else:
        await getattr(outbox, action)(callback_id, LATER, timedelta(hours=2))


@pytest.mark.parametrize("status", [status.value for status in Status])
@pytest.mark.parametrize("action", ["release", "retry", "cancel"])
async def test_an_action_changes_an_allowed_status_and_is_refused_in_any_other(
    outbox: InspectableOutbox, action: str, status: str
) -> None:
    request = callback(due_at=None)
    await outbox.accept(request, None, rules())
    update_columns(outbox, request.id, status=status)
    expected = TRANSITIONS.get((action, status), status)
    if expected == status:
        with pytest.raises(ConflictError) as refused:
            await perform(outbox, action, request.id)
        assert refused.value.code == "invalid_state"
        allowed = [before for (performed, before) in TRANSITIONS if performed == action]
        assert f"is {status}: only one that is {' or '.join(allowed)} can be " in refused.value.detail
    else:
        await perform(outbox, action, request.id)
    current = await outbox.callback_status(request.id)
    assert current is not None
    assert current.status == expected
    assert await outbox.expire(LATER) == [], "its age counts from the action"
    claims = await outbox.claim_due(LATER, max_delay=DAY, lease=DAY, limit=9)
    assert [claim.callback_id for claim in claims] == ([request.id] if expected == "queued" != status else [])


@pytest.mark.parametrize("status", ["failed", "unknown"])
async def test_a_callback_is_not_retried_if_its_number_is_called_for_a_later_request(
    outbox: InspectableOutbox, status: str
) -> None:
    request, later = callback(), callback(created_at=NOW + DAY)
    await outbox.accept(request, None, rules())
    update_columns(outbox, request.id, status=status, due_at=None)
    await outbox.accept(later, None, rules())
    with pytest.raises(ConflictError) as refused:
        await perform(outbox, "retry", request.id)
    assert refused.value.code == "already_called"
    await outbox.cancel(later.id, LATER)
    await perform(outbox, "retry", request.id)


async def test_of_two_failed_callbacks_for_the_same_call_only_one_is_retried(outbox: InspectableOutbox) -> None:
    requests = [callback(created_at=NOW + hours * timedelta(hours=1)) for hours in range(2)]
    for request in requests:
        await outbox.accept(request, None, rules())
        update_columns(outbox, request.id, status="failed", due_at=None)
    await perform(outbox, "retry", requests[0].id)
    with pytest.raises(ConflictError) as refused:
        await perform(outbox, "retry", requests[1].id)
    assert refused.value.code == "already_called"


async def test_a_failed_callback_is_retried_despite_requests_for_something_else(outbox: InspectableOutbox) -> None:
    failed = callback(message_on_ring="Order 17", client_bucket=None, api_key="crm")
    later = callback(message_on_ring="Order 18", client_bucket=None, api_key="crm", created_at=NOW + DAY)
    await outbox.accept(failed, None, rules())
    update_columns(outbox, failed.id, status="failed", due_at=None)
    await outbox.accept(later, None, rules())
    await perform(outbox, "retry", failed.id)


async def test_an_erased_callback_can_be_neither_retried_nor_claimed(outbox: InspectableOutbox) -> None:
    request = callback(due_at=None)
    await outbox.accept(request, None, rules())
    update_columns(outbox, request.id, status="failed")
    assert await outbox.erase(LATER) == 1
    with pytest.raises(ConflictError) as refused:
        await outbox.retry(request.id, LATER, timedelta(hours=2))
    assert refused.value.code == "personal_data_erased"
    with pytest.raises(ConflictError) as refused:
        await outbox.release(request.id, LATER, timedelta(hours=2))
    assert refused.value.code == "invalid_state"
    update_columns(outbox, request.id, status="queued", due_at=LATER, give_up_at=LATER + DAY)
    assert await outbox.claim_due(LATER, max_delay=DAY, lease=DAY, limit=9) == []


async def test_a_planned_callback_expires_only_after_its_planned_time(outbox: Outbox) -> None:
    request = callback(planned_time=LATER + DAY, hold="honeypot")
    await outbox.accept(request, None, rules())
    await outbox.release(request.id, LATER, timedelta(hours=2))
    assert await outbox.expire(LATER + DAY) == []
    assert await outbox.expire(LATER + DAY + timedelta(hours=2)) == [request.id]


@pytest.mark.parametrize("action", ["release", "retry", "cancel"])
async def test_an_action_on_an_unknown_id_is_not_found(outbox: Outbox, action: str) -> None:
    with pytest.raises(NotFoundError):
        await perform(outbox, action, "unknown")


@pytest.mark.parametrize(("action", "status"), list(TRANSITIONS))
async def test_an_action_on_an_alias_changes_the_original_callback(
    outbox: InspectableOutbox, action: str, status: str
) -> None:
    request, other = from_address("203.0.113.1"), from_address("198.51.100.1")
    await outbox.accept(request, None, rules())
    alias = await outbox.accept(other, None, rules())
    assert alias.id == other.id != request.id
    update_columns(outbox, request.id, status=status)
    await perform(outbox, action, alias.id)
    current = await outbox.callback_status(request.id)
    assert current is not None
    assert current.status == TRANSITIONS[action, status]


async def test_a_cancelled_callback_is_never_sent_and_the_next_request_is_a_new_one(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    await outbox.cancel(first.id, NOW)
    assert await outbox.claim_due(LATER, max_delay=DAY, lease=DAY, limit=9) == []
    again = await outbox.accept(callback(created_at=NOW + timedelta(seconds=5)), None, rules())
    assert (again.id != first.id, again.duplicate) == (True, False)


@pytest.mark.parametrize(("action", "status"), list(TRANSITIONS))
async def test_a_repeated_action_is_refused_even_at_the_same_time(
    outbox: InspectableOutbox, action: str, status: str
) -> None:
    request = callback(due_at=None)
    await outbox.accept(request, None, rules())
    update_columns(outbox, request.id, status=status)
    await perform(outbox, action, request.id)
    with pytest.raises(ConflictError):
        await perform(outbox, action, request.id)
    current = await outbox.callback_status(request.id)
    assert current is not None
    assert current.status == TRANSITIONS[action, status]
