"""The cap of a phone over stored callbacks and attempts; on both databases."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app.admission.admission_request import AdmissionConfig
from app.errors import ServiceError
from app.outbox.callback import Status
from app.outbox.claims import AttemptOutcome
from app.outbox.phone_callbacks import PhoneCap
from tests.admission.deciding import (
    API_KEY,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    OTHER_PHONE,
    SECOND,
    config,
)
from tests.databases import PostgreSQL
from tests.outbox.factories import InspectableOutbox, at_its_time, callback, store, store_sent, update_columns

THREE = config(per_phone="3/hour;5/day")
RINGS = NOW + 6 * DAY


async def send(outbox: InspectableOutbox, rules: AdmissionConfig, number: int, **changes: Any) -> str:
    """Admit a request for a site of its own, and return "accepted" or the refusal and its wait."""
    try:
        await outbox.admit(callback(**{"site": f"shop-{number}"} | changes), None, rules)
    except ServiceError as refusal:
        return f"{refusal.code} for {refusal.retry_after:.0f} s"
    return "accepted"


FULL = "quota_phone for 3600 s"


async def test_requests_made_on_many_days_do_not_ring_within_one_hour(outbox: InspectableOutbox) -> None:
    answers = [
        await send(
            outbox,
            THREE,
            number=10 * day + number,
            created_at=NOW + day * DAY + 25 * number * MINUTE,
            planned_time=RINGS + number * MINUTE,
            api_key=API_KEY,
        )
        for day in range(5)
        for number in range(5)
    ]
    assert answers == ["accepted"] * 3 + [FULL] * 22


async def test_stored_calls_count_when_they_ring(outbox: InspectableOutbox) -> None:
    for number in range(3):
        await store(outbox, callback(site=f"s-{number}", created_at=NOW - number * DAY, planned_time=RINGS))
    for number, after in enumerate((-59, 0, 59)):
        near = RINGS + after * MINUTE
        assert await send(outbox, THREE, number, planned_time=near, api_key=API_KEY) == FULL
        assert await send(outbox, THREE, number, created_at=near) == FULL
    assert await send(outbox, THREE, 9, planned_time=RINGS + HOUR, api_key=API_KEY) == "accepted"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("placed", FULL),
        ("unknown", FULL),
        (None, FULL),  # under way
        ("not_sent", "accepted"),
        ("refused", "accepted"),
        ("forbidden", "accepted"),
        ("not_started", "accepted"),
    ],
)
@pytest.mark.parametrize("status", [Status.PLACED, Status.UNKNOWN, Status.FAILED, Status.CANCELLED])
async def test_a_stored_attempt_counts_if_it_rang_or_may_have_rung(
    outbox: InspectableOutbox, status: Status, outcome: str | None, expected: str
) -> None:
    await store_sent(outbox, callback(site="blog", created_at=NOW - 50 * MINUTE), status, outcome)
    once = config(per_phone="1/hour")
    assert await send(outbox, once, 1) == expected
    assert await send(outbox, once, 2, client_phone=OTHER_PHONE) == "accepted"


@pytest.mark.parametrize("age", [DAY - SECOND, DAY])
async def test_the_window_of_stored_attempts_is_that_of_the_longest_limit(
    outbox: InspectableOutbox, age: timedelta
) -> None:
    await store_sent(outbox, callback(site="blog", created_at=NOW - age))
    once = config(per_phone="1/hour;1/day")
    assert await send(outbox, once, 1) == ("accepted" if age == DAY else FULL)


async def test_a_stored_uncertain_ring_counts_until_its_last_moment(outbox: InspectableOutbox) -> None:
    long_ago = callback(site="blog", created_at=NOW - 20 * HOUR, rings_until=NOW - 30 * MINUTE)
    await store_sent(outbox, long_ago)
    once = config(per_phone="1/hour")
    assert await send(outbox, once, 1) == FULL
    assert await send(outbox, once, 2, created_at=NOW + 30 * MINUTE) == "accepted"


async def test_an_uncertain_ring_counts_though_a_later_attempt_of_its_callback_was_certain(
    outbox: InspectableOutbox,
) -> None:
    """The first was sent while the site was closed, the second while it was open."""
    two = config(per_phone="2/hour")
    first = callback(site="blog", created_at=NOW - 20 * HOUR, rings_until=NOW - 30 * MINUTE)
    sent_again = NOW - 2 * HOUR
    await store_sent(outbox, first, Status.UNKNOWN, "unknown", due_at=sent_again, give_up_at=NOW + DAY)
    cap = PhoneCap(two.per_phone, at_its_time)
    (claim,) = await outbox.claim_due(sent_again, max_delay=HOUR, lease=HOUR, limit=9, cap=cap)
    assert claim.number == 2
    unknown = AttemptOutcome(Status.UNKNOWN, None, None, "unknown", None, 1, None, None)
    assert await outbox.finish_attempt(claim, unknown, sent_again, cap)
    assert await send(outbox, two, 1, created_at=NOW - 10 * MINUTE) == "accepted"
    assert await send(outbox, two, 2) == FULL


async def test_a_waiting_callback_counts_however_old_it_is(outbox: InspectableOutbox) -> None:
    await store(outbox, callback(site="blog", created_at=NOW - 9 * DAY))
    assert await send(outbox, config(per_phone="1/hour"), 1) == FULL


async def test_a_cancelled_call_that_was_never_sent_does_not_count(outbox: InspectableOutbox) -> None:
    (waiting,) = await store(outbox, callback(site="blog"))
    await outbox.cancel(waiting, NOW)
    assert await send(outbox, config(per_phone="1/hour"), 1) == "accepted"


async def test_an_erased_number_has_no_rings(outbox: InspectableOutbox) -> None:
    sent = await store_sent(outbox, callback(site="blog"))
    update_columns(outbox, sent, client_phone=None)
    assert await send(outbox, config(per_phone="1/hour"), 1) == "accepted"


async def test_three_stored_calls_that_visitors_planned_are_the_most(outbox: InspectableOutbox) -> None:
    answers = [await send(outbox, config(), day, planned_time=NOW + day * DAY) for day in range(1, 5)]
    assert answers == ["accepted"] * 3 + [FULL]
    assert await send(outbox, config(), 9, planned_time=NOW + 9 * DAY, api_key=API_KEY) == "accepted"
    assert await send(outbox, config(), 9) == "accepted"


async def test_a_cap_is_exact_over_concurrent_requests_to_two_processes(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    three = config(per_phone="3/hour")
    phones = [f"7916000000{number}" for number in range(5)]
    answers = await asyncio.gather(
        *(
            send(both[number % 2], three, number, client_phone=phone, client_bucket=f"b-{number}")
            for number in range(20)
            for phone in phones
        )
    )
    assert answers.count("accepted") == 3 * len(phones)
    for outbox in both:
        outbox.close()
