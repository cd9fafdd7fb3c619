"""Held callbacks: stored, answered like any other, and not sent before an operator releases them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.errors import ConflictError
from app.outbox.callback import RequestKey, public_status
from app.outbox.outbox import Outbox
from app.outbox.schema import callbacks
from tests.outbox.factories import NOW, InspectableOutbox, callback, mark_placed, rules, update_columns

KEY = RequestKey("site:shop", "key-1", "a" * 64)
HOUR = timedelta(hours=1)
SOON = NOW + timedelta(seconds=30)


async def due(outbox: Outbox) -> list[str]:
    return [claim.callback_id for claim in await outbox.claim_due(NOW + HOUR, max_delay=HOUR, lease=HOUR, limit=9)]


async def test_a_held_callback_is_answered_like_any_other_and_waits_for_an_operator(outbox: InspectableOutbox) -> None:
    request, honest = callback(hold="honeypot"), callback(client_phone="79160000002")
    response = await outbox.accept(request, KEY, rules())
    usual = await outbox.accept(honest, None, rules())
    assert response == replace(usual, id=request.id)
    assert await outbox.accept(request, KEY, rules()) == response
    current = await outbox.callback_status(request.id)
    assert current is not None
    assert (current.status, public_status(current.status), current.site) == ("held", "queued", "shop")
    reasons = select(callbacks.c.reason).where(callbacks.c.id == request.id)
    assert outbox.scalars(reasons) == ["honeypot"]
    assert await outbox.waiting() == 1
    assert await outbox.expire(NOW + 3 * HOUR) == [honest.id], "its age counts from the release"
    await outbox.release(request.id, NOW + HOUR, HOUR)
    assert await due(outbox) == [request.id]


async def test_a_repeated_suspicious_request_gets_the_same_callback(outbox: Outbox) -> None:
    first = await outbox.accept(callback(hold="honeypot"), None, rules())
    again = await outbox.accept(callback(hold="too_fast", created_at=SOON), None, rules())
    assert (again.id, again.duplicate, again.status) == (first.id, True, "queued")


async def test_a_held_callback_does_not_absorb_an_honest_request(outbox: Outbox) -> None:
    held = await outbox.accept(callback(hold="honeypot"), None, rules())
    honest = await outbox.accept(callback(created_at=SOON), None, rules())
    assert (honest.id != held.id, honest.duplicate) == (True, False)
    assert await due(outbox) == [honest.id]


async def test_a_queued_callback_absorbs_a_suspicious_request(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    again = await outbox.accept(callback(created_at=SOON, hold="honeypot"), None, rules())
    assert (again.id, again.duplicate) == (first.id, True)


async def test_another_visitor_who_fills_in_the_honeypot_is_held_even_if_the_number_was_called(
    outbox: InspectableOutbox,
) -> None:
    """Otherwise they would see `placed`, which no held request ever shows."""
    mark_placed(outbox, (await outbox.accept(callback(), None, rules())).id)
    other = callback(client_bucket="198.51.100.1", hold="honeypot")
    await outbox.accept(other, None, rules())
    current = await outbox.callback_status(other.id)
    assert current is not None
    assert current.status == "held"


async def test_a_request_with_an_api_key_is_shown_that_it_duplicates_a_held_callback(outbox: Outbox) -> None:
    by_key = {"api_key": "crm", "client_bucket": None, "hold": "blocklist"}
    first = await outbox.accept(callback(hold="honeypot"), None, rules())
    again = await outbox.accept(callback(created_at=SOON, **by_key), None, rules())
    assert (again.id, again.duplicate, again.status) == (first.id, True, "held")


@pytest.mark.parametrize("status", ["queued", "sending", "placed", "unknown"])
async def test_a_held_callback_is_not_released_if_its_number_is_called_for_a_later_request(
    outbox: InspectableOutbox, status: str
) -> None:
    held = await outbox.accept(callback(hold="honeypot"), None, rules())
    honest = await outbox.accept(callback(created_at=SOON), None, rules())
    update_columns(outbox, honest.id, status=status)
    with pytest.raises(ConflictError) as refused:
        await outbox.release(held.id, NOW + HOUR, HOUR)
    assert refused.value.code == "already_called"
    await outbox.cancel(held.id, NOW + HOUR)


@pytest.mark.parametrize("other", [{"site": "other"}, {"client_phone": "79160000002"}, {"hold": "honeypot"}])
async def test_a_held_callback_is_released_despite_requests_for_something_else(
    outbox: Outbox, other: dict[str, str]
) -> None:
    held = await outbox.accept(callback(hold="honeypot"), None, rules())
    await outbox.accept(callback(created_at=NOW + HOUR, **other), None, rules())
    await outbox.release(held.id, NOW + HOUR, HOUR)


async def test_a_held_callback_is_released_if_the_later_request_was_cancelled(outbox: Outbox) -> None:
    held = await outbox.accept(callback(hold="honeypot"), None, rules())
    honest = await outbox.accept(callback(created_at=SOON), None, rules())
    await outbox.cancel(honest.id, NOW + HOUR)
    await outbox.release(held.id, NOW + HOUR, HOUR)
    assert await due(outbox) == [held.id]
