"""Claims, leases and outcomes: one worker at a time holds a callback; on both databases."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.outbox import claims, transitions
from app.outbox.callback import Status
from app.outbox.claims import AttemptOutcome, Claim
from tests.outbox.factories import CAP, NOW, InspectableOutbox, callback, store, update_columns

LEASE = timedelta(seconds=40)
SECOND = timedelta(seconds=1)


def result(status: Status = Status.PLACED, outcome: str = "placed", **changes: Any) -> AttemptOutcome:
    values: dict[str, Any] = {"due_at": None, "reason": None, "http_status": 200, "duration_ms": 12}
    return AttemptOutcome(status=status, outcome=outcome, **(values | {"detail": None, "answer": "{}"} | changes))


async def queue(outbox: InspectableOutbox, count: int = 1, **changes: Any) -> list[str]:
    return await store(outbox, *(callback(**{"client_phone": f"7916{n:07}"} | changes) for n in range(count)))


async def status(outbox: InspectableOutbox, callback_id: str) -> str | None:
    current = await outbox.callback_status(callback_id)
    return current and current.status


async def claim(outbox: InspectableOutbox, limit: int = 10, **changes: Any) -> list[Claim]:
    values: dict[str, Any] = {"now": NOW, "max_delay": timedelta(minutes=30), "lease": LEASE, "cap": CAP}
    return await outbox.claim_due(limit=limit, **(values | changes))


async def finish(
    outbox: InspectableOutbox, claimed: Claim, outcome: AttemptOutcome, now: datetime = NOW
) -> bool | datetime:
    return await outbox.finish_attempt(claimed, outcome, now, CAP)


async def test_a_claim_contains_every_parameter_of_the_call(outbox: InspectableOutbox) -> None:
    request = callback(
        manager_phone="74951234567",
        planned_time=NOW + timedelta(hours=1),
        message_on_ring="Звонок",
        nwt_action="always_call",
        call_stack_start_hour=10,
        call_stack_interval=0,
        referrer="https://search.example/",
    )
    await store(outbox, request)
    (claimed,) = await claim(outbox)
    assert claimed.parameters == {
        "site_id": 12345,
        "client_phone": "79161234567",
        "manager_phone": "74951234567",
        "planned_time": NOW + timedelta(hours=1),
        "active_page": "https://shop.example/",
        "client_ip": "203.0.113.7",
        "message_on_ring": "Звонок",
        "nwt_action": "always_call",
        "call_stack_start_hour": 10,
        "call_stack_interval": 0,
        "referrer": "https://search.example/",
    }
    assert (claimed.number, claimed.history, claimed.account) == (1, (), "4711")


async def test_concurrent_claims_never_return_a_callback_twice(outbox: InspectableOutbox) -> None:
    ids = await queue(outbox, 40)
    claimed = [one for claims in await asyncio.gather(*(claim(outbox, 7) for _ in range(8))) for one in claims]
    assert sorted(one.callback_id for one in claimed) == sorted(ids)


async def test_callbacks_not_yet_due_or_of_a_paused_account_are_not_claimed(outbox: InspectableOutbox) -> None:
    await queue(outbox, due_at=NOW + SECOND)
    assert await claim(outbox) == []
    assert len(await claim(outbox, now=NOW + SECOND, paused=("4712",))) == 1
    await queue(outbox, client_phone="79169999999")
    assert await claim(outbox, paused=("4711",)) == []


async def test_a_finished_claim_is_no_longer_held(outbox: InspectableOutbox) -> None:
    (request,) = await queue(outbox)
    (claimed,) = await claim(outbox)
    assert await status(outbox, request) == "sending"
    assert await finish(outbox, claimed, result(), NOW)
    assert await status(outbox, request) == "placed"
    assert not await finish(outbox, claimed, result(Status.FAILED, "refused"), NOW), "the token is spent"
    assert await outbox.orphaned(NOW + timedelta(days=1)) == []


async def test_a_claim_lists_the_outcomes_of_earlier_attempts(outbox: InspectableOutbox) -> None:
    await queue(outbox)
    for number in range(1, 4):
        (claimed,) = await claim(outbox, now=NOW + number * SECOND)
        assert claimed.number == number
        await finish(outbox, claimed, result(Status.QUEUED, "not_sent", due_at=NOW + number * SECOND), NOW)
    (last,) = await claim(outbox, now=NOW + 9 * SECOND)
    assert last.history == ("not_sent",) * 3


async def test_a_worker_whose_lease_has_expired_changes_nothing(database_url: str) -> None:
    first = InspectableOutbox.open(database_url)
    (request,) = await queue(first)
    (stale,) = await claim(first)
    if database_url.startswith("sqlite"):
        first.close()  # no second process is possible, so only a restart orphans its claims
        other = InspectableOutbox.open(database_url)
    else:
        other = InspectableOutbox.open(database_url)
        assert await other.orphaned(NOW) == [], "the lease still holds"
        # Leases use the server's clock, which a test can't set.
        other.execute(text("UPDATE callbacks SET lease_until = lease_until - interval '2 minutes'"))
    (found,) = await other.orphaned(NOW)
    assert (found.callback_id, found.number, found.history, found.token) == (request, 1, (), stale.token)
    due_at = NOW + timedelta(seconds=60)
    assert await finish(other, found, result(Status.UNKNOWN, "unknown", due_at=due_at), NOW)
    (again,) = await claim(other, now=due_at)
    assert again.history == ("unknown",)
    late = other if database_url.startswith("sqlite") else first
    assert not await finish(late, stale, result(), due_at)
    assert await status(other, request) == "sending"
    for each in {late, other}:
        each.close()


async def test_a_callback_due_before_the_clock_was_set_back_is_due_now(outbox: InspectableOutbox) -> None:
    await queue(outbox)
    assert len(await claim(outbox, now=NOW - timedelta(hours=1))) == 1


async def test_expired_callbacks_fail_and_unknown_ones_are_not_resent(outbox: InspectableOutbox) -> None:
    old, unknown = await queue(outbox, 2, give_up_at=NOW + SECOND)
    claims = {one.callback_id: one for one in await claim(outbox)}
    await finish(outbox, claims[old], result(Status.QUEUED, "not_sent", due_at=NOW + SECOND), NOW)
    await finish(outbox, claims[unknown], result(Status.UNKNOWN, "unknown", due_at=NOW + SECOND), NOW)
    assert await outbox.expire(NOW) == []
    assert await outbox.expire(NOW + SECOND) == [old]
    assert [await status(outbox, each) for each in (old, unknown)] == ["failed", "unknown"]
    assert await claim(outbox, now=NOW + timedelta(days=1)) == []


async def test_erasing_affects_finished_callbacks_only(outbox: InspectableOutbox) -> None:
    finished, waiting = await queue(outbox, 2)
    claims = {one.callback_id: one for one in await claim(outbox)}
    await finish(outbox, claims[finished], result(answer="called 79160000000"), NOW)
    await finish(outbox, claims[waiting], result(Status.QUEUED, "not_sent", due_at=NOW), NOW)
    assert await outbox.erase(NOW) == 0, "not older than the limit"
    assert await outbox.erase(NOW + SECOND) == 1
    assert await outbox.erase(NOW + SECOND) == 0, "nothing is left to erase"
    (still,) = await claim(outbox)
    assert (still.callback_id, still.parameters["client_phone"]) == (waiting, "79160000001")
    assert await status(outbox, finished) == "placed"


async def test_a_callback_past_its_deadline_is_not_claimed_even_before_it_expires(outbox: InspectableOutbox) -> None:
    await queue(outbox, give_up_at=NOW + SECOND)
    assert await claim(outbox, now=NOW + SECOND) == []


async def test_a_callback_that_was_unknown_once_never_expires_as_failed(outbox: InspectableOutbox) -> None:
    """An operator may have queued it again, but the phone may have rung all the same."""
    for status_in_between in (Status.QUEUED, Status.UNKNOWN):
        (request,) = await queue(outbox, give_up_at=NOW + SECOND, client_phone=f"7916{len(status_in_between):07}")
        (first,) = await claim(outbox)
        await finish(outbox, first, result(Status.UNKNOWN, "unknown", due_at=NOW), NOW)
        (second,) = await claim(outbox)
        await finish(outbox, second, result(status_in_between, "not_sent", due_at=NOW + SECOND), NOW)
        assert await outbox.expire(NOW + SECOND) == []
        assert await status(outbox, request) == "unknown"
        assert await claim(outbox, now=NOW + timedelta(days=1)) == []


async def test_a_paused_site_is_claimed_only_by_name(outbox: InspectableOutbox) -> None:
    (request,) = await queue(outbox)
    (same_name,) = await queue(outbox, client_phone="79169999999", account="4712")
    (other,) = await queue(outbox, client_phone="79169999998", site="other")
    assert await claim(outbox, only=("4712", "other")) == []
    free = await claim(outbox, paused_sites=[("4711", "shop"), ("1", "x")])
    assert {one.callback_id for one in free} == {same_name, other}
    (claimed,) = await claim(outbox, paused_sites=[("4711", "shop")], only=("4711", "shop"))
    assert claimed.callback_id == request


async def test_unknown_callbacks_are_not_resent_at_sites_that_hold_them(outbox: InspectableOutbox) -> None:
    for site in ("holding", "resending"):
        await queue(outbox, 2, site=site)
    claims = await claim(outbox)
    for one in claims:
        state = Status.QUEUED if one.parameters["client_phone"] == "79160000000" else Status.UNKNOWN
        await finish(outbox, one, result(state, "unknown", due_at=NOW), NOW)
    unknown = {one.site: one.callback_id for one in claims if one.parameters["client_phone"] != "79160000000"}
    assert await outbox.hold_unknown(NOW, lambda site: site == "holding") == [unknown["holding"]]
    assert await outbox.hold_unknown(NOW, lambda site: site == "holding") == []
    again = await claim(outbox)
    assert sorted(one.site for one in again) == ["holding", "resending", "resending"], "a queued callback is sent"
    assert unknown["holding"] not in {one.callback_id for one in again}
    assert await status(outbox, unknown["holding"]) == "unknown"


async def test_no_unknown_callback_of_a_site_that_holds_is_left_for_a_resend(
    outbox: InspectableOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not in a queue that is longer than what other queries move at once."""
    monkeypatch.setattr(claims, "MAX_EXPIRED", 3)
    monkeypatch.setattr(transitions, "BATCH", 3)
    requests = await queue(outbox, 8)
    for request in requests:
        update_columns(outbox, request, status=Status.UNKNOWN)
    assert sorted(await outbox.hold_unknown(NOW, lambda _site: True)) == sorted(requests)
    assert await claim(outbox) == []
