"""`again`: a visitor says that the phone did not ring, so the request is no duplicate of that call, and rings."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.admission.admission_request import Decision, Merge
from app.admission.decide import decide
from app.errors import TooManyRequestsError
from app.outbox.callback import Status
from app.outbox.phone_callbacks import PhoneCallback
from app.outbox.schema import callbacks
from tests.admission.deciding import (
    API_KEY,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    OTHER_PHONE,
    SECOND,
    answered,
    config,
    covered_by,
    request,
    result,
    snapshot,
    stored,
)
from tests.outbox.factories import InspectableOutbox, callback, hold, store, store_sent

WAIT = 20 * SECOND
RULES = config(duplicate_window=2 * MINUTE)


def links(decision: Decision) -> tuple[str | None, str | None]:
    """Return which request a stored one repeats, and the first of its chain."""
    assert decision.admitted is not None, decision.answer
    return decision.admitted.again_of, decision.admitted.again_chain


def placed(age: timedelta = WAIT, **changes: Any) -> PhoneCallback:
    """Return a call that was placed that long before `NOW`."""
    return stored(Status.PLACED, created_at=NOW - age, **changes)


def test_a_request_that_repeats_one_after_which_no_phone_rang_is_queued() -> None:
    one = placed()
    assert result(decide(request(), snapshot(one), RULES)) == "duplicate"
    decision = decide(request(again=one.id), snapshot(one), RULES)
    assert (result(decision), decision.merge) == ("queued", None)
    assert links(decision) == (one.id, one.id)
    assert answered(decision).call_expected_at == NOW


@pytest.mark.parametrize("age", [WAIT - timedelta(microseconds=1), timedelta(0), -HOUR])
def test_it_has_no_effect_earlier_than_20_seconds_after_the_ring_time(age: timedelta) -> None:
    """The phone may still ring."""
    one = placed(age)
    decision = decide(request(again=one.id), snapshot(one), config(duplicate_window=2 * HOUR))
    assert (covered_by(decision), links(decision)) == (one.id, (None, None))


@pytest.mark.parametrize("changes", [{"site": "blog"}, {"phone": OTHER_PHONE}], ids=lambda changes: next(iter(changes)))
def test_it_has_no_effect_if_it_names_a_request_of_another_site_or_phone(changes: dict[str, str]) -> None:
    one, named = placed(), placed(**changes)
    decision = decide(request(again=named.id), snapshot(one, named), RULES)
    assert (covered_by(decision), links(decision)) == (one.id, (None, None))


@pytest.mark.parametrize("again", ["unknown", ""])
def test_it_has_no_effect_if_it_names_nothing(again: str) -> None:
    one = placed()
    decision = decide(request(again=again), snapshot(one), RULES)
    assert (covered_by(decision), links(decision)) == (one.id, (None, None))


def test_it_has_no_effect_if_it_names_a_held_request() -> None:
    held, one = stored(Status.HELD, created_at=NOW - HOUR), placed()
    decision = decide(request(again=held.id), snapshot(held, one), RULES)
    assert (covered_by(decision), links(decision)) == (one.id, (None, None))


def test_a_request_can_be_repeated_once() -> None:
    one = placed()
    used = placed(MINUTE, again_of=one.id, again_chain=one.id)
    decision = decide(request(again=one.id), snapshot(one, used), RULES)
    assert (result(decision), links(decision)) == ("duplicate", (None, None))


def test_a_request_can_be_repeated_once_within_a_batch_too() -> None:
    one = placed()
    found = snapshot(one)
    first, second = (decide(request(again=one.id), found, RULES) for _ in range(2))
    assert (result(first), links(first)) == ("queued", (one.id, one.id))
    assert (result(second), links(second)) == ("duplicate", (None, None))


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.UNKNOWN])
def test_it_may_name_a_call_that_failed_or_may_have_been_lost(status: Status) -> None:
    one = stored(status, created_at=NOW - WAIT)
    decision = decide(request(again=one.id), snapshot(one), RULES)
    assert (result(decision), links(decision)) == ("queued", (one.id, one.id))


def test_it_names_the_request_whatever_covered_it() -> None:
    """A visitor names their own id. The call that did not ring is the one that it was merged into."""
    original = placed(MINUTE)
    named = stored(Status.DUPLICATE, created_at=NOW - WAIT, duplicate_of=original.id)
    assert covered_by(decide(request(), snapshot(original, named), RULES)) == original.id
    decision = decide(request(again=named.id), snapshot(original, named), RULES)
    assert (result(decision), links(decision)) == ("queued", (named.id, named.id))


def test_it_is_a_duplicate_of_nothing_in_its_own_chain() -> None:
    first = placed(3 * MINUTE)
    second = placed(2 * MINUTE, again_of=first.id, again_chain=first.id)
    third = placed(MINUTE, again_of=second.id, again_chain=first.id)
    rules = config(duplicate_window=9 * MINUTE)
    decision = decide(request(again=third.id), snapshot(first, second, third), rules)
    assert (result(decision), links(decision)) == ("queued", (third.id, first.id))


def test_it_is_a_duplicate_of_nothing_that_its_chain_was_merged_into() -> None:
    first, original = placed(3 * MINUTE), placed(2 * MINUTE)
    second = stored(
        Status.DUPLICATE,
        created_at=NOW - 2 * MINUTE,
        duplicate_of=original.id,
        again_of=first.id,
        again_chain=first.id,
    )
    third = placed(MINUTE, again_of=second.id, again_chain=first.id)
    decision = decide(
        request(again=third.id), snapshot(first, original, second, third), config(duplicate_window=9 * MINUTE)
    )
    assert (result(decision), links(decision)) == ("queued", (third.id, first.id))


def test_another_call_covers_it() -> None:
    """Somebody else's, or one that the visitor asked for in another tab: the phone is about to ring."""
    one, other = placed(), placed(10 * SECOND)
    decision = decide(request(again=one.id), snapshot(one, other), RULES)
    assert (covered_by(decision), links(decision)) == (other.id, (one.id, one.id))
    assert decision.merge == Merge(other.id, NOW + 2 * HOUR, None)


@pytest.mark.parametrize(
    ("one", "due_at"),
    [
        ({"status": Status.QUEUED, "due_at": NOW + 9 * MINUTE}, NOW),  # a retry's wait
        ({"status": Status.UNKNOWN, "due_at": NOW + 9 * MINUTE}, NOW),  # a resend
        ({"status": Status.QUEUED, "due_at": NOW - SECOND}, None),
        ({"status": Status.SENDING}, None),
    ],
    ids=["retry", "resend", "due", "sending"],
)
@pytest.mark.parametrize("through", ["itself", "a duplicate"])
def test_what_is_still_to_be_sent_is_made_due_now_and_no_second_call_rings(
    one: dict[str, Any], due_at: Any, through: str
) -> None:
    original = stored(**one, created_at=NOW - HOUR, rings_at=NOW - HOUR)
    duplicate = stored(Status.DUPLICATE, created_at=NOW - 30 * MINUTE, duplicate_of=original.id)
    named = original if through == "itself" else duplicate
    mine = request(again=named.id)
    decision = decide(mine, snapshot(original, duplicate), config(duplicate_window=timedelta(0)))
    assert covered_by(decision) == original.id
    assert decision.merge == Merge(original.id, mine.callback.give_up_at, due_at)
    assert links(decision) == (named.id, named.id)


@pytest.mark.parametrize("moved", [{"account": "4712"}, {"chaser_site_id": 54321}], ids=lambda moved: next(iter(moved)))
def test_what_is_to_be_sent_under_a_former_account_does_not_keep_it_from_ringing(moved: dict[str, Any]) -> None:
    """Nobody may send it any more."""
    one = stored(created_at=NOW - HOUR)
    decision = decide(request(again=one.id, **moved), snapshot(one), RULES)
    assert (result(decision), links(decision)) == ("queued", (one.id, one.id))


def test_with_it_a_call_still_counts_in_the_phones_cap() -> None:
    one = placed()
    decision = decide(request(again=one.id), snapshot(one), config(per_phone="1/hour"))
    assert result(decision) == "quota_phone"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"held_for": "honeypot"}, "held for honeypot"),
        ({"phone_blocked": True}, "held for blocked_phone"),
        ({"address_blocked": True}, "blocked"),
    ],
    ids=str,
)
def test_with_it_a_request_is_held_or_refused_like_any_other(changes: dict[str, Any], expected: str) -> None:
    one = placed()
    found = snapshot(one)
    assert result(decide(request(again=one.id, **changes), found, RULES)) == expected
    assert links(decide(request(again=one.id), found, RULES)) == (one.id, one.id), "it was not used"


def test_with_an_api_key_it_means_the_same() -> None:
    one = placed()
    decision = decide(request(again=one.id, api_key=API_KEY), snapshot(one), RULES)
    assert (result(decision), answered(decision).duplicate, links(decision)) == ("queued", False, (one.id, one.id))


async def row(outbox: InspectableOutbox, callback_id: str, *names: str) -> tuple[Any, ...]:
    with outbox.database.reading.begin() as connection:
        columns = [callbacks.c[name] for name in names]
        return tuple(connection.execute(select(*columns).where(callbacks.c.id == callback_id)).one())


LINKS = ("status", "duplicate_of", "again_of", "again_chain")


async def test_a_chain_is_stored_and_read_back(outbox: InspectableOutbox) -> None:
    rules = config(duplicate_window=10 * MINUTE)
    first = await store_sent(outbox, callback(created_at=NOW - MINUTE))
    chain = [first]
    for number in range(3):
        mine = callback(again=chain[-1], created_at=NOW + number * MINUTE)
        await outbox.admit(mine, None, rules)
        assert await row(outbox, mine.id, *LINKS) == ("queued", None, chain[-1], first)
        await mark_sent(outbox, mine.id, mine.rings_at)
        chain.append(mine.id)
    plain = callback(created_at=NOW + 3 * MINUTE)
    await outbox.admit(plain, None, rules)
    assert await row(outbox, plain.id, *LINKS) == ("duplicate", chain[-1], None, None)
    reused = callback(again=chain[1], created_at=NOW + 3 * MINUTE)
    await outbox.admit(reused, None, rules)
    assert await row(outbox, reused.id, *LINKS) == ("duplicate", chain[-1], None, None)


async def mark_sent(outbox: InspectableOutbox, callback_id: str, at: Any) -> None:
    outbox.execute(callbacks.update().where(callbacks.c.id == callback_id).values(status="placed", due_at=None))
    assert await row(outbox, callback_id, "rings_at") == (at,)


async def test_a_request_of_last_week_may_be_named(outbox: InspectableOutbox) -> None:
    """It is found by its id, though its ring is older than every window."""
    old = await store_sent(outbox, callback(created_at=NOW - 6 * DAY))
    waiting = callback(created_at=NOW - 6 * DAY, site="blog")
    await store(outbox, waiting, due_at=NOW + 30 * MINUTE)
    again, of_blog = callback(again=old), callback(again=waiting.id, site="blog")
    for one in (again, of_blog):
        await outbox.admit(one)
    assert await row(outbox, again.id, *LINKS) == ("queued", None, old, old)
    assert await row(outbox, of_blog.id, *LINKS) == ("duplicate", waiting.id, waiting.id, waiting.id)
    assert await row(outbox, waiting.id, "status", "due_at", "give_up_at") == ("queued", NOW, NOW + 2 * HOUR)


async def test_a_request_that_was_repeated_last_week_can_not_be_repeated(outbox: InspectableOutbox) -> None:
    old = await store_sent(outbox, callback(created_at=NOW - 6 * DAY))
    used = callback(created_at=NOW - 5 * DAY)
    await store_sent(outbox, used, again_of=old, again_chain=old)
    sent = await store_sent(outbox, callback(created_at=NOW - 30 * SECOND))
    again, on_chain = callback(again=old), callback(again=used.id)
    for one in (again, on_chain):
        await outbox.admit(one)
    assert await row(outbox, again.id, *LINKS) == ("duplicate", sent, None, None)
    assert await row(outbox, on_chain.id, *LINKS) == ("duplicate", sent, used.id, old)


async def test_a_resend_is_made_due_now(outbox: InspectableOutbox) -> None:
    unknown = await store_sent(
        outbox, callback(created_at=NOW - MINUTE), Status.UNKNOWN, "unknown", due_at=NOW + MINUTE
    )
    mine = callback(again=unknown)
    await outbox.admit(mine)
    assert await row(outbox, mine.id, *LINKS) == ("duplicate", unknown, unknown, unknown)
    assert await row(outbox, unknown, "status", "due_at") == ("unknown", NOW)


@pytest.mark.parametrize("kind", ["another phone", "another site", "held", "unknown"])
async def test_a_name_without_effect_is_not_told(outbox: InspectableOutbox, kind: str) -> None:
    named = {
        "another phone": await store_sent(outbox, callback(client_phone=OTHER_PHONE, created_at=NOW - HOUR)),
        "another site": await store_sent(outbox, callback(site="blog", created_at=NOW - HOUR)),
        "held": await hold(outbox, created_at=NOW - HOUR),
        "unknown": "00000000-0000-0000-0000-000000000000",
    }[kind]
    sent = await store_sent(outbox, callback(created_at=NOW - 30 * SECOND))
    mine = callback(again=named)
    answer = await outbox.admit(mine)
    assert (answer.id, answer.status, answer.duplicate) == (mine.id, "queued", False)
    assert await row(outbox, mine.id, *LINKS) == ("duplicate", sent, None, None)


async def test_the_cap_applies_to_a_stored_chain(outbox: InspectableOutbox) -> None:
    rules = config(per_phone="2/hour")
    first = await store_sent(outbox, callback(created_at=NOW - MINUTE))
    second = callback(again=first)
    await outbox.admit(second, None, rules)
    await store_sent(outbox, callback(created_at=NOW, site="blog"))
    mine = callback(created_at=NOW + MINUTE, again=second.id)
    await mark_sent(outbox, second.id, NOW)
    with pytest.raises(TooManyRequestsError):
        await outbox.admit(mine, None, config(per_phone="2/hour"))
    assert await outbox.callback_status(mine.id) is None
