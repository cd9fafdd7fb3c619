"""Operator actions on the outbox alone: cancel, in every status; on both databases."""

from datetime import timedelta

import pytest

from app.errors import ConflictError, NotFoundError
from app.outbox.callback import Status
from tests.outbox.factories import CAP, NOW, InspectableOutbox, callback, store, update_columns

LATER = NOW + timedelta(hours=30)
DAY = timedelta(days=1)
CANCELLABLE = ("queued", "held", "unknown")


@pytest.mark.parametrize("status", [status.value for status in Status])
async def test_a_callback_that_waits_is_cancelled_and_no_other_is(outbox: InspectableOutbox, status: str) -> None:
    (request,) = await store(outbox, callback())
    update_columns(outbox, request, status=status, due_at=NOW if status == "queued" else None)
    if status in CANCELLABLE:
        await outbox.cancel(request, LATER)
    else:
        with pytest.raises(ConflictError) as refused:
            await outbox.cancel(request, LATER)
        assert refused.value.code == "invalid_state"
        assert f"is {status}: only one that is queued or held or unknown can be cancelled" in refused.value.detail
    current = await outbox.callback_status(request)
    assert current is not None
    assert current.status == ("cancelled" if status in CANCELLABLE else status)
    assert await outbox.expire(LATER) == []


async def test_a_resend_is_cancelled(outbox: InspectableOutbox) -> None:
    (request,) = await store(outbox, callback())
    update_columns(outbox, request, status="unknown", due_at=NOW, give_up_at=LATER + DAY)
    await outbox.cancel(request, NOW)
    assert await outbox.claim_due(LATER, max_delay=DAY, lease=DAY, limit=9, cap=CAP) == []


async def test_an_unknown_id_is_not_found(outbox: InspectableOutbox) -> None:
    with pytest.raises(NotFoundError):
        await outbox.cancel("unknown", LATER)


async def test_a_duplicate_is_not_cancelled_and_its_original_is_named(outbox: InspectableOutbox) -> None:
    """Otherwise an operator would cancel the call of another visitor, whose request looks like this one."""
    first = await outbox.admit(callback())
    await outbox.admit(duplicate := callback())
    with pytest.raises(ConflictError) as refused:
        await outbox.cancel(duplicate.id, LATER)
    assert refused.value.code == "invalid_state"
    assert f"is duplicate of {first.id}, which is the one to act on" in refused.value.detail
    assert await outbox.waiting() == 1


async def test_a_cancelled_callback_is_never_sent_and_the_next_request_is_a_new_one(outbox: InspectableOutbox) -> None:
    first = await outbox.admit(callback())
    await outbox.cancel(first.id, NOW)
    assert await outbox.claim_due(LATER, max_delay=DAY, lease=DAY, limit=9, cap=CAP) == []
    again = callback(created_at=NOW + timedelta(seconds=5))
    await outbox.admit(again)
    current = await outbox.callback_status(again.id)
    assert current is not None
    assert current.status is Status.QUEUED


async def test_a_repeated_cancellation_is_refused_even_at_the_same_time(outbox: InspectableOutbox) -> None:
    (request,) = await store(outbox, callback())
    await outbox.cancel(request, NOW)
    with pytest.raises(ConflictError):
        await outbox.cancel(request, NOW)
