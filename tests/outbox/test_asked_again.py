"""Repeated requests for the same phone are merged into one callback; on both databases."""

import asyncio
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from limits import parse_many
from sqlalchemy import Connection, create_engine, select, text

from app.errors import TooManyRequestsError
from app.outbox.callback import RequestKey, Status
from app.outbox.claims import AttemptOutcome, expire
from app.outbox.outbox import Outbox
from app.outbox.quotas import Quotas
from app.outbox.schema import callbacks
from tests.databases import PostgreSQL
from tests.outbox.factories import NOW, InspectableOutbox, callback, mark_placed, rules, update_columns

KEY = RequestKey("site:shop", "key-1", "a" * 64)
HOUR = timedelta(hours=1)
OTHER_VISITOR = "198.51.100.1"


async def test_the_same_phone_within_the_window_gets_the_same_callback(outbox: InspectableOutbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    again = await outbox.accept(callback(created_at=NOW + timedelta(seconds=119)), None, rules())
    assert (again.id, again.duplicate, again.replayed) == (first.id, True, False)
    mark_placed(outbox, first.id)
    later = await outbox.accept(callback(created_at=NOW + timedelta(seconds=121)), None, rules())
    assert (later.id != first.id, later.duplicate) == (True, False)


async def test_the_key_of_a_duplicate_still_finds_it_after_the_window(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    duplicate = await outbox.accept(callback(created_at=NOW + timedelta(seconds=1)), KEY, rules())
    repeated = await outbox.accept(callback(created_at=NOW + HOUR), KEY, rules())
    assert (duplicate.id, repeated.id) == (first.id, first.id)
    assert (repeated.duplicate, repeated.replayed) == (True, True)


async def test_the_same_phone_on_another_site_is_another_callback(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    other = await outbox.accept(callback(site="blog"), None, rules())
    assert other.id != first.id


TO_BE_SENT: list[dict[str, Any]] = [
    {},
    {"status": "sending", "due_at": None, "lease_token": "t", "lease_until": NOW + HOUR},
    {"status": "unknown", "reason": "resend_once", "due_at": NOW + HOUR},
]


@pytest.mark.parametrize("state", TO_BE_SENT, ids=["queued", "sending", "resend due"])
async def test_a_callback_still_to_be_sent_absorbs_a_repeated_request_however_late(
    outbox: InspectableOutbox, state: dict[str, Any]
) -> None:
    first = await outbox.accept(callback(), None, rules())
    if state:
        update_columns(outbox, first.id, **state)
    late = await outbox.accept(callback(created_at=NOW + HOUR), None, rules())
    assert (late.id, late.duplicate) == (first.id, True)


@pytest.mark.parametrize("status", ["placed", "failed", "unknown", "cancelled", "held"])
async def test_a_finished_or_held_callback_does_not_absorb_a_late_request(
    outbox: InspectableOutbox, status: str
) -> None:
    first = await outbox.accept(callback(), None, rules())
    update_columns(outbox, first.id, status=status, due_at=None)
    late = await outbox.accept(callback(created_at=NOW + HOUR), None, rules())
    assert (late.id != first.id, late.duplicate) == (True, False)


@pytest.mark.parametrize(
    "other",
    [
        {"planned_time": NOW + 9 * HOUR},
        {"manager_phone": "74950000001"},
        {"department": "sales"},
        {"message_on_ring": "Order 17"},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_a_late_request_for_something_else_is_another_callback(outbox: Outbox, other: dict[str, Any]) -> None:
    first = await outbox.accept(callback(client_bucket=None, api_key="crm"), None, rules())
    late = callback(client_bucket=None, api_key="crm", created_at=NOW + HOUR, **other)
    assert (await outbox.accept(late, None, rules())).id == late.id != first.id
    again = callback(client_bucket=None, api_key="crm", created_at=NOW + 2 * HOUR, **other)
    assert (await outbox.accept(again, None, rules())).id == late.id


LATER = NOW + 5 * HOUR


@pytest.mark.parametrize(
    "when",
    [{"planned_time": LATER, "call_expected_at": None}, {"nwt_action": "always_call", "call_expected_at": LATER}],
    ids=["planned", "at night"],
)
async def test_a_call_placed_at_chaser_for_a_later_time_is_not_placed_twice(
    outbox: InspectableOutbox, when: dict[str, Any]
) -> None:
    first = await outbox.accept(callback(**when), None, rules())
    mark_placed(outbox, first.id)
    again = await outbox.accept(callback(**when, created_at=LATER - HOUR), None, rules())
    assert (again.id, again.duplicate) == (first.id, True)
    after_the_call = callback(created_at=LATER)
    assert (await outbox.accept(after_the_call, None, rules())).id == after_the_call.id


def give_up_at(outbox: InspectableOutbox, callback_id: str) -> datetime:
    (deadline,) = outbox.scalars(select(callbacks.c.give_up_at).where(callbacks.c.id == callback_id))
    assert isinstance(deadline, datetime)
    return deadline


@pytest.mark.parametrize("bucket", ["203.0.113.7", OTHER_VISITOR])
@pytest.mark.parametrize("state", TO_BE_SENT, ids=["queued", "sending", "resend due"])
async def test_a_late_repeated_request_extends_the_deadline(
    outbox: InspectableOutbox, bucket: str, state: dict[str, Any]
) -> None:
    first = await outbox.accept(callback(), None, rules())
    update_columns(outbox, first.id, **state | {"updated_at": NOW})
    for minutes in (119, 60):  # the clocks of replicas may differ
        late = callback(created_at=NOW + timedelta(minutes=minutes), client_bucket=bucket)
        await outbox.accept(late, None, rules())
        assert give_up_at(outbox, first.id) == NOW + timedelta(minutes=119) + 2 * HOUR


@pytest.mark.parametrize("moved", [{"account": "4712"}, {"chaser_site_id": 54321}], ids=lambda moved: next(iter(moved)))
@pytest.mark.parametrize("late", [timedelta(seconds=30), HOUR])
async def test_a_callback_for_an_account_or_site_no_longer_configured_absorbs_no_request(
    outbox: Outbox, moved: dict[str, Any], late: timedelta
) -> None:
    await outbox.accept(callback(), None, rules())
    after_the_change = callback(created_at=NOW + late, **moved)
    assert (await outbox.accept(after_the_change, None, rules())).id == after_the_change.id
    again = await outbox.accept(callback(created_at=NOW + late, **moved), None, rules())
    assert (again.id, again.duplicate) == (after_the_change.id, True)


@pytest.mark.parametrize("planned_time", [None, NOW + HOUR], ids=["now", "in an hour"])
async def test_another_visitors_later_call_does_not_absorb_a_request_for_an_earlier_one(
    outbox: Outbox, planned_time: datetime | None
) -> None:
    await outbox.accept(callback(planned_time=NOW + 9 * HOUR, client_bucket=OTHER_VISITOR), None, rules())
    soon = callback(created_at=NOW + timedelta(seconds=30), planned_time=planned_time)
    assert (await outbox.accept(soon, None, rules())).id == soon.id
    assert await outbox.waiting() == 2


async def test_a_request_for_a_later_time_does_not_extend_the_deadline_of_an_immediate_call(
    outbox: InspectableOutbox,
) -> None:
    first = await outbox.accept(callback(), None, rules())
    planned = NOW + 9 * HOUR
    later = callback(created_at=NOW + timedelta(seconds=30), planned_time=planned, give_up_at=planned + 2 * HOUR)
    assert (await outbox.accept(later, None, rules())).id == first.id
    assert give_up_at(outbox, first.id) == NOW + 2 * HOUR


async def test_a_request_repeated_during_the_last_attempt_extends_the_deadline(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    repeated_at = NOW + 2 * HOUR - timedelta(seconds=1)
    (claim,) = await outbox.claim_due(repeated_at, max_delay=HOUR, lease=HOUR, limit=9)
    assert (await outbox.accept(callback(created_at=repeated_at), None, rules())).id == first.id
    expired = AttemptOutcome(Status.FAILED, None, "expired", "not_sent", None, 1, None, None)
    until = await outbox.finish_attempt(claim, expired, NOW + 2 * HOUR)
    assert until == repeated_at + 2 * HOUR, "the old deadline no longer decides"
    current = await outbox.callback_status(first.id)
    assert current is not None
    assert current.status == "sending"
    queued = replace(expired, status=Status.QUEUED, due_at=NOW + 3 * HOUR, reason="not_sent")
    assert await outbox.finish_attempt(replace(claim, give_up_at=until), queued, NOW + 2 * HOUR) is True


async def test_a_request_repeated_while_another_replica_expires_the_callback_is_queued(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    outbox, elsewhere = Outbox.open(url), create_engine(url)
    try:
        first = await outbox.accept(callback(), None, rules())
        now = NOW + 2 * HOUR
        with elsewhere.begin() as replica:
            assert expire(replica, now) == [first.id]
            again = callback(created_at=now)
            pending = asyncio.create_task(outbox.accept(again, None, rules()))
            await asyncio.to_thread(wait_for_lock, replica)
        assert (await pending).id == again.id, "not the failed callback"
        assert await outbox.waiting() == 1
    finally:
        outbox.close()
        elsewhere.dispose()


def wait_for_lock(replica: Connection) -> None:
    blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while not replica.scalar(blocked):
        time.sleep(0.02)


async def test_late_duplicates_do_not_count_in_the_limits_of_a_phone(outbox: InspectableOutbox) -> None:
    wide = tuple(parse_many("999/hour"))
    two = rules(Quotas(tuple(parse_many("2/hour")), wide, wide, wide))
    first = await outbox.accept(callback(), None, two)
    for minutes in (10, 20, 30):
        assert (await outbox.accept(callback(created_at=NOW + timedelta(minutes=minutes)), None, two)).id == first.id
    mark_placed(outbox, first.id)
    second = callback(created_at=NOW + timedelta(minutes=40))
    assert (await outbox.accept(second, None, two)).id == second.id
    mark_placed(outbox, second.id)
    with pytest.raises(TooManyRequestsError):
        await outbox.accept(callback(created_at=NOW + timedelta(minutes=50)), None, two)


async def test_a_hundred_concurrent_late_requests_for_a_queued_callback_create_nothing(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    late = [callback(created_at=NOW + HOUR, client_bucket=None, api_key="crm") for _ in range(100)]
    answers = await asyncio.gather(*(outbox.accept(each, None, rules()) for each in late))
    assert {answer.id for answer in answers} == {first.id}
    assert await outbox.waiting() == 1
