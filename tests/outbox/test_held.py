"""What a person shall look at first: it is kept, answered as usual, and nobody is phoned before it is released."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.errors import ConflictError
from app.outbox.callback import RequestKey, public_status
from app.outbox.outbox import Outbox
from app.outbox.schema import callbacks
from tests.outbox.factories import NOW, InspectableOutbox, become, callback, rules, send

KEY = RequestKey("site:shop", "wish-1", "a" * 64)
HOUR = timedelta(hours=1)
SOON = NOW + timedelta(seconds=30)


async def due(outbox: Outbox) -> list[str]:
    return [claim.callback_id for claim in await outbox.claim_due(NOW + HOUR, max_delay=HOUR, lease=HOUR, limit=9)]


async def test_a_held_callback_is_answered_as_any_other_and_waits_for_a_person(outbox: InspectableOutbox) -> None:
    wish, honest = callback(hold="honeypot"), callback(client_phone="79160000002")
    told = await outbox.accept(wish, KEY, rules())
    like_all = await outbox.accept(honest, None, rules())
    assert told == replace(like_all, id=wish.id)
    assert await outbox.accept(wish, KEY, rules()) == told
    glimpse = await outbox.callback_status(wish.id)
    assert glimpse is not None
    assert (glimpse.status, public_status(glimpse.status), glimpse.site) == ("held", "queued", "shop")
    reasons = select(callbacks.c.reason).where(callbacks.c.id == wish.id)
    assert outbox.scalars(reasons) == ["honeypot"]
    assert await outbox.waiting() == 1
    assert await outbox.expire(NOW + 3 * HOUR) == [honest.id], "its age counts from the release"
    await outbox.release(wish.id, NOW + HOUR, HOUR)
    assert await due(outbox) == [wish.id]


async def test_the_same_suspicious_request_again_is_the_same_callback(outbox: Outbox) -> None:
    first = await outbox.accept(callback(hold="honeypot"), None, rules())
    again = await outbox.accept(callback(hold="too_fast", created_at=SOON), None, rules())
    assert (again.id, again.duplicate, again.status) == (first.id, True, "queued")


async def test_who_may_be_called_at_once_is_not_kept_waiting_for_one_that_is_held(outbox: Outbox) -> None:
    held = await outbox.accept(callback(hold="honeypot"), None, rules())
    honest = await outbox.accept(callback(created_at=SOON), None, rules())
    assert (honest.id != held.id, honest.duplicate) == (True, False)
    assert await due(outbox) == [honest.id]


async def test_a_suspicious_request_for_a_number_that_is_called_already_makes_nothing_new(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    again = await outbox.accept(callback(created_at=SOON, hold="honeypot"), None, rules())
    assert (again.id, again.duplicate) == (first.id, True)


async def test_a_stranger_who_fills_in_a_trap_is_held_whatever_others_asked_for(outbox: InspectableOutbox) -> None:
    """Or his request would be seen to be delivered, as none that is held ever is."""
    send(outbox, (await outbox.accept(callback(), None, rules())).id)
    stranger = callback(client_bucket="198.51.100.1", hold="honeypot")
    await outbox.accept(stranger, None, rules())
    glimpse = await outbox.callback_status(stranger.id)
    assert glimpse is not None
    assert glimpse.status == "held"


async def test_a_service_of_the_owners_is_told_that_its_request_met_a_held_one(outbox: Outbox) -> None:
    by_key = {"api_key": "crm", "client_bucket": None, "hold": "blocklist"}
    first = await outbox.accept(callback(hold="honeypot"), None, rules())
    again = await outbox.accept(callback(created_at=SOON, **by_key), None, rules())
    assert (again.id, again.duplicate, again.status) == (first.id, True, "held")


@pytest.mark.parametrize("status", ["queued", "sending", "placed", "unknown"])
async def test_what_is_held_is_not_released_when_its_number_is_called_for_a_later_wish(
    outbox: InspectableOutbox, status: str
) -> None:
    held = await outbox.accept(callback(hold="honeypot"), None, rules())
    honest = await outbox.accept(callback(created_at=SOON), None, rules())
    become(outbox, honest.id, status=status)
    with pytest.raises(ConflictError) as refused:
        await outbox.release(held.id, NOW + HOUR, HOUR)
    assert refused.value.code == "already_called"
    await outbox.cancel(held.id, NOW + HOUR)


@pytest.mark.parametrize("other", [{"site": "other"}, {"client_phone": "79160000002"}, {"hold": "honeypot"}])
async def test_what_is_held_is_released_whatever_becomes_of_other_wishes(outbox: Outbox, other: dict[str, str]) -> None:
    held = await outbox.accept(callback(hold="honeypot"), None, rules())
    await outbox.accept(callback(created_at=NOW + HOUR, **other), None, rules())
    await outbox.release(held.id, NOW + HOUR, HOUR)


async def test_what_is_held_is_released_when_the_later_wish_was_cancelled(outbox: Outbox) -> None:
    held = await outbox.accept(callback(hold="honeypot"), None, rules())
    honest = await outbox.accept(callback(created_at=SOON), None, rules())
    await outbox.cancel(honest.id, NOW + HOUR)
    await outbox.release(held.id, NOW + HOUR, HOUR)
    assert await due(outbox) == [held.id]
