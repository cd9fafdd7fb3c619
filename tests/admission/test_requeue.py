"""Release and retry: asked like a new request whether the phone may ring, by all rules but the limits of the sender."""

import asyncio
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from app.admission.admission_request import AdmissionConfig
from app.admission.requeue import Action, requeue
from app.errors import ConflictError, NotFoundError, ServiceError
from app.outbox.advisory_locks import lock, phone_name
from app.outbox.callback import ACTIVE_STATUSES, Status
from app.outbox.schema import callbacks
from tests.admission.deciding import API_KEY, DAY, HOUR, MINUTE, NOW, OTHER_PHONE, PHONE, SECOND, config, ring_at
from tests.databases import PostgreSQL
from tests.outbox.factories import CAP, InspectableOutbox, callback, hold, store, store_sent, update_columns

GIVE_UP_AFTER = 2 * HOUR
ALLOWED: dict[Action, tuple[str, ...]] = {"release": ("held",), "retry": ("failed", "unknown")}
ACTIONS = list(ALLOWED)
KINDS: list[tuple[Action, str]] = [(action, status) for action, some in ALLOWED.items() for status in some]


async def perform(
    outbox: InspectableOutbox,
    action: Action,
    callback_id: str,
    *,
    now: datetime = NOW,
    rules: AdmissionConfig | None = None,
) -> None:
    """Release or retry a callback, as the conductor does."""
    work = partial(
        requeue,
        action=action,
        callback_id=callback_id,
        now=now,
        give_up_after=GIVE_UP_AFTER,
        actor="operator",
        config=rules or config(),
    )
    await outbox.write(work, isolated=True)


async def refusal(outbox: InspectableOutbox, action: Action, callback_id: str, **changes: Any) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        await perform(outbox, action, callback_id, **changes)
    return refused.value


async def stored(outbox: InspectableOutbox, status: str, **changes: Any) -> str:
    """Store a callback that may be released or retried; it was requested an hour before NOW."""
    changes = {"created_at": NOW - HOUR} | changes
    if status == "held":
        return await hold(outbox, **changes)
    outcome = "refused" if status == "failed" else status
    return await store_sent(outbox, callback(**changes), Status(status), outcome)


async def row(outbox: InspectableOutbox, callback_id: str, *names: str) -> tuple[Any, ...]:
    with outbox.database.reading.begin() as connection:
        columns = [callbacks.c[name] for name in names]
        return tuple(connection.execute(select(*columns).where(callbacks.c.id == callback_id)).one())


@pytest.mark.parametrize("status", [status.value for status in Status])
@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_queues_a_callback_in_an_allowed_status_and_is_refused_in_any_other(
    outbox: InspectableOutbox, action: Action, status: str
) -> None:
    (this,) = await store(outbox, callback(created_at=NOW - HOUR), due_at=None)
    update_columns(outbox, this, status=status)
    if status in ALLOWED[action]:
        await perform(outbox, action, this)
        claims = await outbox.claim_due(NOW, max_delay=DAY, lease=DAY, limit=9, cap=CAP)
        assert [claim.callback_id for claim in claims] == [this]
    else:
        refused = await refusal(outbox, action, this)
        only = " or ".join(ALLOWED[action])
        assert refused.code == "invalid_state"
        assert f"is {status}: only one that is {only} can be " in str(refused.detail)
        assert await row(outbox, this, "status") == (status,)


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_unknown_id_is_not_found(outbox: InspectableOutbox, action: Action) -> None:
    with pytest.raises(NotFoundError):
        await perform(outbox, action, "unknown")


@pytest.mark.parametrize(("action", "status"), KINDS)
async def test_a_queued_callback_is_due_and_its_age_counts_from_now(
    outbox: InspectableOutbox, action: Action, status: str
) -> None:
    later = NOW + 30 * HOUR
    this = await stored(outbox, status)
    await perform(outbox, action, this, now=later)
    names = ("status", "due_at", "available_at", "give_up_at", "rings_at", "rings_until", "created_at")
    until = later + GIVE_UP_AFTER
    assert await row(outbox, this, *names) == ("queued", later, later, until, later, later, NOW - HOUR)
    record = await outbox.get(this)
    assert record is not None
    last = record.history[-1]
    assert (last["from_status"], last["to_status"], last["actor"]) == (status, "queued", "operator")
    assert last["reason"] == {"release": "released", "retry": "retried"}[action]
    assert await outbox.expire(until - SECOND) == []


@pytest.mark.parametrize(("action", "status"), KINDS)
async def test_a_planned_callback_expires_only_after_its_planned_time(
    outbox: InspectableOutbox, action: Action, status: str
) -> None:
    planned = NOW + DAY
    this = await stored(outbox, status, planned_time=planned)
    await perform(outbox, action, this)
    assert await row(outbox, this, "give_up_at", "rings_at") == (planned + GIVE_UP_AFTER, planned)


async def test_the_ring_time_is_computed_anew(outbox: InspectableOutbox) -> None:
    """The site may be closed by now."""
    morning = NOW + 15 * HOUR
    this = await stored(outbox, "held")
    await perform(outbox, "release", this, rules=config(ring_time=ring_at(morning, morning + HOUR)))
    assert await row(outbox, this, "rings_at", "rings_until") == (morning, morning + HOUR)


async def test_an_uncertain_ring_of_an_earlier_attempt_is_not_forgotten(outbox: InspectableOutbox) -> None:
    this = await stored(outbox, "unknown", rings_until=NOW + 9 * HOUR)
    await perform(outbox, "retry", this)
    assert await row(outbox, this, "rings_at", "rings_until") == (NOW, NOW + 9 * HOUR)


@pytest.mark.parametrize("other", ACTIVE_STATUSES)
@pytest.mark.parametrize(("action", "status"), KINDS)
async def test_another_callback_for_the_same_call_is_named(
    outbox: InspectableOutbox, action: Action, status: str, other: Status
) -> None:
    this = await stored(outbox, status)
    covering = await store_sent(outbox, callback(created_at=NOW - SECOND), other, "unknown")
    if other is Status.QUEUED:
        update_columns(outbox, covering, due_at=NOW)
    refused = await refusal(outbox, action, this)
    assert (refused.code, refused.status) == ("already_called", 409)
    assert covering in str(refused.detail)
    assert await row(outbox, this, "status") == (status,)


@pytest.mark.parametrize(("action", "status"), KINDS)
@pytest.mark.parametrize(
    "other",
    [
        {"site": "blog"},
        {"client_phone": OTHER_PHONE},
        {"department": "sales"},
        {"api_key": API_KEY, "message_on_ring": "Order 17", "message_given": True},
        {"created_at": NOW - MINUTE - SECOND},
        {"planned_time": NOW + 9 * HOUR},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_requests_for_something_else_do_not_matter(
    outbox: InspectableOutbox, action: Action, status: str, other: dict[str, Any]
) -> None:
    this = await stored(outbox, status)
    await store_sent(outbox, callback(**{"created_at": NOW} | other))
    await perform(outbox, action, this)
    assert await row(outbox, this, "status") == ("queued",)


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.HELD, Status.DUPLICATE])
async def test_another_request_that_rings_nobody_does_not_matter(outbox: InspectableOutbox, status: Status) -> None:
    this = await stored(outbox, "held")
    (other,) = await store(outbox, callback())
    update_columns(outbox, other, status=status, due_at=None, duplicate_of=this if status == "duplicate" else None)
    await perform(outbox, "release", this)


async def test_of_two_failed_callbacks_for_the_same_call_only_one_is_retried(outbox: InspectableOutbox) -> None:
    one, other = [await stored(outbox, "failed", created_at=NOW - hours * HOUR) for hours in (1, 2)]
    await perform(outbox, "retry", one)
    assert (await refusal(outbox, "retry", other)).code == "already_called"


@pytest.mark.parametrize(("action", "status"), KINDS)
async def test_the_phones_cap_applies(outbox: InspectableOutbox, action: Action, status: str) -> None:
    this = await stored(outbox, status, created_at=NOW - DAY)
    for site in ("blog", "other"):
        await store_sent(outbox, callback(site=site, created_at=NOW - 30 * MINUTE))
    refused = await refusal(outbox, action, this, rules=config(per_phone="2/hour"))
    assert (refused.code, refused.status) == ("phone_cap", 409)
    assert "QUOTAS__PER_PHONE" in str(refused.detail)
    await perform(outbox, action, this, now=NOW + 30 * MINUTE, rules=config(per_phone="2/hour"))


async def test_the_callbacks_own_attempts_count_in_the_cap(outbox: InspectableOutbox) -> None:
    this = await stored(outbox, "unknown", created_at=NOW - MINUTE)
    once = config(per_phone="1/hour")
    assert (await refusal(outbox, "retry", this, rules=once)).code == "phone_cap"
    await perform(outbox, "retry", this, rules=config(per_phone="2/hour"))


async def test_the_resend_that_a_retry_replaces_does_not_count(outbox: InspectableOutbox) -> None:
    this = await stored(outbox, "unknown", created_at=NOW - MINUTE)
    update_columns(outbox, this, due_at=NOW + MINUTE)
    await perform(outbox, "retry", this, rules=config(per_phone="2/hour"))


async def test_the_limits_of_site_and_address_do_not_apply(outbox: InspectableOutbox) -> None:
    this = await stored(outbox, "held")
    await store_sent(outbox, callback(client_phone=OTHER_PHONE))
    full = config(
        {"per_site": "1/hour", "per_address": "1/hour", "per_address_phones": "1/hour", "held_per_site": "1/day"}
    )
    await perform(outbox, "release", this, rules=full)


async def test_a_released_request_covers_others_and_counts_in_the_cap(outbox: InspectableOutbox) -> None:
    this = await stored(outbox, "held")
    await perform(outbox, "release", this)
    mine = callback(created_at=NOW + SECOND)
    await outbox.admit(mine)
    assert await row(outbox, mine.id, "duplicate_of") == (this,)
    with pytest.raises(ServiceError, match="quota_phone"):
        await outbox.admit(callback(site="blog"), None, config(per_phone="1/hour"))


@pytest.mark.parametrize(("action", "status"), [("retry", "failed"), ("retry", "unknown")])
async def test_an_erased_callback_can_be_neither_retried_nor_claimed(
    outbox: InspectableOutbox, action: Action, status: str
) -> None:
    this = await stored(outbox, status)
    assert await outbox.erase(NOW) == 1
    assert (await refusal(outbox, action, this)).code == "personal_data_erased"
    assert (await refusal(outbox, "release", this)).code == "invalid_state"
    update_columns(outbox, this, status="queued", due_at=NOW, give_up_at=NOW + DAY)
    assert await outbox.claim_due(NOW, max_delay=DAY, lease=DAY, limit=9, cap=CAP) == []


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_on_a_duplicate_names_its_original(outbox: InspectableOutbox, action: Action) -> None:
    (original,) = await store(outbox, callback())
    await outbox.admit(duplicate := callback())
    refused = await refusal(outbox, action, duplicate.id)
    assert refused.code == "invalid_state"
    assert f"is duplicate of {original}, which is the one to act on" in str(refused.detail)


@pytest.mark.parametrize(("action", "status"), KINDS)
async def test_a_repeated_action_is_refused(outbox: InspectableOutbox, action: Action, status: str) -> None:
    this = await stored(outbox, status)
    await perform(outbox, action, this)
    assert (await refusal(outbox, action, this)).code == "invalid_state"


async def test_a_phone_is_locked_before_any_row(postgresql: PostgreSQL) -> None:
    """Admission locks the phone first. In another order a release and a request would deadlock."""
    url = postgresql.new_database()
    outbox, elsewhere = InspectableOutbox.open(url), create_engine(url)
    this = await stored(outbox, "held")
    with elsewhere.begin() as other:
        lock(other, [phone_name(PHONE)])
        releasing = asyncio.ensure_future(perform(outbox, "release", this))
        waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while not other.scalar(waits):
            await asyncio.sleep(0.01)
        other.execute(select(callbacks.c.id).where(callbacks.c.id == this).with_for_update(nowait=True)).one()
    await releasing
    outbox.close()
    elsewhere.dispose()


async def test_a_release_and_a_request_at_once_ring_the_phone_once(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    one, other = InspectableOutbox.open(url), InspectableOutbox.open(url)
    for number in range(20):
        phone = f"7916{number:07}"
        held = await hold(one, client_phone=phone, created_at=NOW - HOUR)
        results = await asyncio.gather(
            perform(one, "release", held), other.admit(callback(client_phone=phone)), return_exceptions=True
        )
        assert not isinstance(results[1], BaseException)
        assert results[0] is None or isinstance(results[0], ConflictError)
    assert await one.waiting() == 20
    one.close()
    other.close()
