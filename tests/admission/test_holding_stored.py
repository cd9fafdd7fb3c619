"""Held requests as they are stored, and their budgets; on both databases."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from app.admission.admission_request import AdmissionConfig
from app.errors import ServiceError
from app.outbox.schema import callbacks
from tests.admission.deciding import (
    DAY,
    HOUR,
    KEY,
    NOW,
    OTHER_ADDRESS,
    OTHER_PHONE,
    config,
)
from tests.outbox.factories import InspectableOutbox, callback, from_address


def phone(number: int) -> str:
    return f"7916{number:07}"


@pytest.mark.parametrize("reason", ["honeypot", "sent_too_fast", "suspicious_network"])
async def test_a_held_request_is_stored_without_a_ring_and_waits_for_an_operator(
    outbox: InspectableOutbox, reason: str
) -> None:
    request = callback(held_for=reason)
    first = await outbox.admit(request, KEY)
    assert (await outbox.admit(request, KEY)).replayed
    honest = await outbox.admit(callback(client_phone=OTHER_PHONE))
    assert first == replace(honest, id=request.id)
    current = await outbox.get(request.id)
    assert current is not None
    shown = {name: current.callback[name] for name in ("status", "reason", "held_for", "due_at", "rings_at")}
    assert shown == {"status": "held", "reason": reason, "held_for": reason, "due_at": None, "rings_at": None}
    assert [(change["to_status"], change["reason"]) for change in current.history] == [("held", reason)]
    assert outbox.scalars(select(callbacks.c.id).where(callbacks.c.due_at.is_not(None))) == [honest.id]
    assert await outbox.expire(NOW + 3 * HOUR) == [honest.id], "its age counts from the release"


async def test_a_stored_held_request_shares_its_row_however_old_it_is(outbox: InspectableOutbox) -> None:
    first = await outbox.admit(callback(held_for="honeypot"))
    again = await outbox.admit(callback(held_for="honeypot", created_at=NOW + 20 * DAY))
    other = await outbox.admit(callback(held_for="sent_too_fast", created_at=NOW + 20 * DAY))
    rows = [await outbox.get(one.id) for one in (first, again, other)]
    shown = [row and (row.callback["status"], row.callback["duplicate_of"], row.callback["held_for"]) for row in rows]
    assert shown == [
        ("held", None, "honeypot"),
        ("duplicate", first.id, "honeypot"),
        ("held", None, "sent_too_fast"),
    ]
    assert await outbox.waiting() == 0


async def send(outbox: InspectableOutbox, rules: AdmissionConfig, address: str, **changes: Any) -> str:
    """Admit a request, and return "accepted" or the code of the refusal."""
    try:
        await outbox.admit(from_address(address, **changes), None, rules)
    except ServiceError as refusal:
        return str(refusal.code)
    return "accepted"


async def test_stored_held_requests_count_in_their_budget_and_in_the_share_of_their_address(
    outbox: InspectableOutbox,
) -> None:
    rules = config({"held_per_site": "20/day"})
    answers = [
        await send(outbox, rules, f"198.51.100.{number // 2}", client_phone=phone(number // 4), held_for="honeypot")
        for number in range(20)
    ]
    assert answers == ["accepted"] * 20, "half of them are duplicates"
    assert await send(outbox, rules, "192.0.2.1", held_for="sent_too_fast") == "quota_site"
    assert await send(outbox, rules, "192.0.2.1", held_for="honeypot", site="blog") == "accepted"
    assert await send(outbox, rules, "192.0.2.1") == "accepted"
    tomorrow = NOW + DAY
    assert await send(outbox, rules, "192.0.2.1", held_for="honeypot", created_at=tomorrow) == "accepted"


async def test_a_stored_address_is_held_to_its_share(outbox: InspectableOutbox) -> None:
    rules = config({"held_per_site": "20/day"})
    networks = ((OTHER_ADDRESS, 1), ("2001:db8::{:x}", 1), ("2001:db8:0:{:x}::1", 2), ("2001:db8:0:{:x}00::1", 4))
    for network, times in networks:
        site = {"site": f"shop-{network}", "held_for": "honeypot"}
        answers = [
            await send(outbox, rules, network.format(number), client_phone=phone(number), **site)
            for number in range(1, 2 * times + 2)
        ]
        assert answers == ["accepted"] * 2 * times + ["quota_client"], network
