"""The resend of an unknown call rings like a new request: without room it is left out."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from app.errors import TooManyRequestsError
from app.outbox.advisory_locks import lock, phone_name
from app.outbox.callback import Status
from app.outbox.claims import AttemptOutcome, Claim
from app.outbox.phone_callbacks import PhoneCap
from app.outbox.resends import PHONE_CAP, is_resend
from app.outbox.schema import attempts, callbacks
from tests.databases import PostgreSQL
from tests.outbox.factories import (
    CAP,
    NOW,
    InspectableOutbox,
    admission_config,
    at_its_time,
    callback,
    limits,
    store,
    store_sent,
    update_columns,
)

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
TWO = PhoneCap(limits("2/hour"), at_its_time)
UNKNOWN = AttemptOutcome(Status.UNKNOWN, NOW + MINUTE, "resend_once", "unknown", None, 12, "ReadTimeout", None)


async def claimed(outbox: InspectableOutbox, **changes: Any) -> Claim:
    await store(outbox, callback(**changes))
    (claim,) = await outbox.claim_due(NOW, max_delay=HOUR, lease=HOUR, limit=9, cap=CAP)
    return claim


def stored(outbox: InspectableOutbox, callback_id: str) -> tuple[Any, ...]:
    columns = (callbacks.c.status, callbacks.c.due_at, callbacks.c.reason, attempts.c.outcome)
    query = select(*columns).join(attempts, attempts.c.callback_id == callbacks.c.id)
    with outbox.database.reading.begin() as connection:
        return tuple(connection.execute(query.where(callbacks.c.id == callback_id)).one())


@pytest.mark.parametrize(
    ("status", "due_at", "expected"),
    [
        (Status.UNKNOWN, NOW, True),
        (Status.UNKNOWN, None, False),
        (Status.QUEUED, NOW, False),
        (Status.PLACED, None, False),
    ],
)
def test_only_an_unknown_call_that_is_to_be_made_again_is_a_resend(
    status: Status, due_at: Any, *, expected: bool
) -> None:
    assert is_resend(AttemptOutcome(status, due_at, None, "x", None, 1, None, None)) is expected


async def test_a_resend_with_room_stays_due(outbox: InspectableOutbox) -> None:
    claim = await claimed(outbox)
    assert await outbox.finish_attempt(claim, UNKNOWN, NOW, TWO)
    assert stored(outbox, claim.callback_id) == ("unknown", NOW + MINUTE, "resend_once", "unknown")


async def test_a_resend_without_room_stays_unknown(outbox: InspectableOutbox) -> None:
    await store_sent(outbox, callback(site="blog", created_at=NOW - 30 * MINUTE))
    claim = await claimed(outbox)
    assert await outbox.finish_attempt(claim, UNKNOWN, NOW, TWO)
    assert stored(outbox, claim.callback_id) == ("unknown", None, PHONE_CAP, "unknown")
    record = await outbox.get(claim.callback_id)
    assert record is not None
    assert (record.history[-1]["to_status"], record.history[-1]["reason"]) == ("unknown", PHONE_CAP)


async def test_its_own_attempt_counts(outbox: InspectableOutbox) -> None:
    """It may have rung."""
    claim = await claimed(outbox)
    assert await outbox.finish_attempt(claim, UNKNOWN, NOW, PhoneCap(limits("1/hour"), at_its_time))
    assert stored(outbox, claim.callback_id)[1:3] == (None, PHONE_CAP)


async def test_what_waits_for_the_phone_counts(outbox: InspectableOutbox) -> None:
    claim = await claimed(outbox)
    await store(outbox, callback(site="blog"))
    assert await outbox.finish_attempt(claim, UNKNOWN, NOW, TWO)
    assert stored(outbox, claim.callback_id)[1:3] == (None, PHONE_CAP)


async def test_it_counts_when_it_would_ring(outbox: InspectableOutbox) -> None:
    claim = await claimed(outbox)
    for number, after in enumerate((-2 * HOUR, 3 * HOUR)):
        await store_sent(outbox, callback(site=f"s-{number}", planned_time=NOW + after))
    assert await outbox.finish_attempt(claim, UNKNOWN, NOW, TWO)
    assert stored(outbox, claim.callback_id)[1] == NOW + MINUTE


async def test_a_number_that_was_erased_meanwhile_or_a_lost_lease_changes_nothing(outbox: InspectableOutbox) -> None:
    claim = await claimed(outbox)
    update_columns(outbox, claim.callback_id, lease_token="another")
    assert await outbox.finish_attempt(claim, UNKNOWN, NOW, TWO) is False
    assert stored(outbox, claim.callback_id)[0] == "sending"


async def test_a_deadline_that_was_extended_is_returned(outbox: InspectableOutbox) -> None:
    claim = await claimed(outbox)
    await outbox.admit(callback(created_at=NOW + MINUTE))
    assert await outbox.finish_attempt(claim, UNKNOWN, NOW, TWO) == NOW + MINUTE + 2 * HOUR
    assert stored(outbox, claim.callback_id)[0] == "sending"


async def test_the_phone_is_locked_before_any_row(postgresql: PostgreSQL) -> None:
    """Admission locks the phone first. In another order the two would deadlock."""
    url = postgresql.new_database()
    outbox, elsewhere = InspectableOutbox.open(url), create_engine(url)
    claim = await claimed(outbox)
    with elsewhere.begin() as other:
        lock(other, [phone_name("79161234567")])
        finishing = asyncio.ensure_future(outbox.finish_attempt(claim, UNKNOWN, NOW, TWO))
        waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while not other.scalar(waits):
            await asyncio.sleep(0.01)
        this = select(callbacks.c.id).where(callbacks.c.id == claim.callback_id)
        other.execute(this.with_for_update(nowait=True)).one()
    assert await finishing is True
    outbox.close()
    elsewhere.dispose()


async def test_resends_and_requests_at_once_stay_within_the_cap(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    one, other = InspectableOutbox.open(url), InspectableOutbox.open(url)
    rules = admission_config(per_phone=TWO.limits)
    for number in range(20):
        phone = f"7916{number:07}"
        claim = await claimed(one, client_phone=phone)
        finished, admitted = await asyncio.gather(
            one.finish_attempt(claim, UNKNOWN, NOW, TWO),
            other.admit(callback(client_phone=phone, site="blog", client_bucket=phone), None, rules),
            return_exceptions=True,
        )
        assert finished is True
        resent = stored(one, claim.callback_id)[1] is not None
        refused = isinstance(admitted, TooManyRequestsError)
        assert resent == refused, "the call and one of the two"
        update_columns(one, claim.callback_id, due_at=None)
        if not refused:
            assert not isinstance(admitted, BaseException)
            await one.cancel(admitted.id, NOW)
    one.close()
    other.close()
