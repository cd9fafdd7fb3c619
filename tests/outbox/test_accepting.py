"""Accepting: the same request again, the quotas, the challenge; on both databases."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from limits import parse_many

from app.errors import ConflictError, TooManyRequestsError, UnprocessableContentError
from app.outbox.accepting import AdmissionConfig
from app.outbox.callback import Callback, RequestKey
from app.outbox.outbox import Outbox
from app.outbox.quotas import Quotas
from app.outbox.used_challenges import Challenge
from tests.outbox.factories import NOW, InspectableOutbox, become, callback, from_address, rules

KEY = RequestKey("site:shop", "wish-1", "a" * 64)
HOUR = timedelta(hours=1)


async def test_an_accepted_callback_can_be_seen_by_its_id(outbox: Outbox) -> None:
    wish = callback()
    accepted = await outbox.accept(wish, None, rules())
    assert (accepted.id, accepted.status, accepted.duplicate, accepted.replayed) == (wish.id, "queued", False, False)
    glimpse = await outbox.callback_status(wish.id)
    assert glimpse is not None
    assert glimpse.status == "queued"
    assert await outbox.callback_status("nobody") is None
    assert await outbox.waiting() == 1


async def test_the_same_key_with_the_same_request_is_the_same_callback_for_ever(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), KEY, rules())
    again = await outbox.accept(callback(created_at=NOW + timedelta(days=30)), KEY, rules())
    assert again.replayed
    assert (again.id, again.status, again.created_at, again.call_expected_at, again.duplicate) == (
        first.id,
        first.status,
        first.created_at,
        first.call_expected_at,
        first.duplicate,
    )
    assert await outbox.waiting() == 1


async def test_the_same_key_with_another_request_is_refused(outbox: Outbox) -> None:
    await outbox.accept(callback(), KEY, rules())
    with pytest.raises(UnprocessableContentError) as refused:
        await outbox.accept(callback(), RequestKey(KEY.scope, KEY.key, "b" * 64), rules())
    assert refused.value.code == "request_id_reused"
    assert await outbox.waiting() == 1


async def test_the_same_key_in_another_scope_is_another_key(outbox: Outbox) -> None:
    first = await outbox.accept(callback(), KEY, rules())
    other = await outbox.accept(callback(client_phone="79160000002"), RequestKey("key:crm", KEY.key, "b" * 64), rules())
    assert other.id != first.id


async def test_a_hundred_requests_at_once_with_one_key_make_one_callback(outbox: Outbox) -> None:
    answers = await asyncio.gather(*(outbox.accept(callback(), KEY, rules()) for _ in range(100)))
    assert len({answer.id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert await outbox.waiting() == 1


def small(name: str, limit: str) -> AdmissionConfig:
    names = ("per_phone", "per_client", "per_client_phones", "per_site")
    return rules(quotas=Quotas(**{each: tuple(parse_many(limit if each == name else "999/hour")) for each in names}))


@pytest.mark.parametrize(
    ("name", "code", "same", "other"),
    [
        ("per_phone", "quota_phone", {"client_bucket": "b{}", "site": "shop{}"}, {"client_phone": "79169999999"}),
        ("per_client", "quota_client", {"client_phone": "7916000000{}"}, {"client_bucket": "other"}),
        ("per_client_phones", "quota_client_phones", {"client_phone": "7916000000{}"}, {"client_bucket": "other"}),
        (
            "per_site",
            "quota_site",
            {"client_phone": "7916000000{}", "client_bucket": "b{}"},
            {"site": "blog"},
        ),
    ],
)
async def test_a_quota_counts_over_a_moving_window_and_says_how_long_to_wait(
    outbox: Outbox, name: str, code: str, same: dict[str, str], other: dict[str, str]
) -> None:
    def wish(number: int, minutes: float, **changes: str) -> Callback:
        values = {field: value.format(number) for field, value in same.items()} | changes
        return callback(created_at=NOW + timedelta(minutes=minutes), **values)

    three = small(name, "3/hour")
    for number, minutes in enumerate((0, 10, 20)):
        await outbox.accept(wish(number, minutes), None, three)
    with pytest.raises(TooManyRequestsError) as refused:
        await outbox.accept(wish(4, 30), None, three)
    assert (refused.value.code, refused.value.retry_after) == (code, 30 * 60)
    assert await outbox.waiting() == 3, "a refused request leaves nothing behind"
    await outbox.accept(wish(5, 31, **other), None, three)
    await outbox.accept(wish(6, 61), None, three)


async def test_of_several_limits_each_one_counts(outbox: Outbox) -> None:
    daily = small("per_phone", "2/hour;3/day")
    for hours in (0, 2, 4):
        await outbox.accept(callback(created_at=NOW + hours * HOUR, site=f"shop{hours}"), None, daily)
    with pytest.raises(TooManyRequestsError) as refused:
        await outbox.accept(callback(created_at=NOW + 6 * HOUR), None, daily)
    assert refused.value.retry_after == (18 * HOUR).total_seconds()


async def test_a_phone_already_counted_for_a_client_is_no_new_phone(outbox: Outbox) -> None:
    two = small("per_client_phones", "2/hour")
    for number in (1, 2):
        await outbox.accept(callback(client_phone=f"7916000000{number}"), None, two)
    await outbox.accept(callback(client_phone="79160000001", site="blog"), None, two)


async def test_the_quotas_of_clients_leave_out_requests_with_an_api_key(outbox: Outbox) -> None:
    one = small("per_client", "1/hour")
    for number in range(3):
        await outbox.accept(callback(client_phone=f"7916000000{number}", client_bucket=None), None, one)


async def test_many_requests_at_once_for_one_phone_stop_exactly_at_the_cap(outbox: Outbox) -> None:
    three = small("per_phone", "3/hour")
    wishes = [callback(site=f"shop-{number}") for number in range(100)]
    answers = await asyncio.gather(
        *(outbox.accept(wish, replace(KEY, scope=f"site:{wish.site}"), three) for wish in wishes),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, TooManyRequestsError) for answer in answers) == 97
    assert await outbox.waiting() == 3


async def test_times_come_back_as_they_were_written(outbox: Outbox) -> None:
    exact = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)
    await outbox.accept(callback(created_at=exact, call_expected_at=exact), KEY, rules())
    again = await outbox.accept(callback(created_at=exact), KEY, rules())
    assert (again.created_at, again.call_expected_at) == (exact, exact)


@pytest.mark.parametrize("key", [None, KEY])
async def test_an_insert_whose_commit_got_lost_is_recognised_as_our_own(outbox: Outbox, key: RequestKey | None) -> None:
    wish = callback()
    first = await outbox.accept(wish, key, rules())
    assert await outbox.accept(wish, key, rules()) == first
    assert await outbox.waiting() == 1


@pytest.mark.parametrize("status", ["failed", "cancelled", "held"])
async def test_an_insert_whose_commit_got_lost_is_our_own_whatever_became_of_it_meanwhile(
    outbox: InspectableOutbox, status: str
) -> None:
    wish = callback()
    first = await outbox.accept(wish, None, rules())
    become(outbox, wish.id, status=status)
    assert await outbox.accept(wish, None, small("per_phone", "1/hour")) == first


async def test_what_was_answered_can_be_asked_for_without_asking_to_be_phoned(outbox: Outbox) -> None:
    assert await outbox.answered(KEY) is None
    first = await outbox.accept(callback(), KEY, rules())
    assert await outbox.answered(KEY) == replace(first, replayed=True)
    with pytest.raises(UnprocessableContentError) as refused:
        await outbox.answered(replace(KEY, fingerprint="b" * 64))
    assert refused.value.code == "request_id_reused"


WORK = Challenge("0" * 32, NOW + timedelta(hours=9))
OTHER_WORK = Challenge("1" * 32, NOW + timedelta(hours=9))
FULL, FREE = "79161234567", "79160000009"


async def full(outbox: Outbox) -> AdmissionConfig:
    """RetryPolicy under which the phone FULL, and no other, may not be phoned now."""
    one = small("per_phone", "1/hour")
    await outbox.accept(callback(created_at=NOW - timedelta(minutes=10), site="blog"), None, one)
    return one


async def refusal(outbox: Outbox, phone: str, key: RequestKey | None, terms: AdmissionConfig, work: Challenge) -> str:
    stranger = from_address("198.51.100.1", client_phone=phone)
    with pytest.raises((TooManyRequestsError, ConflictError)) as refused:
        await outbox.accept(stranger, key, terms, work)
    return str(refused.value.code)


async def test_a_used_challenge_tells_nothing_about_any_number(outbox: Outbox) -> None:
    one = await full(outbox)
    await outbox.accept(callback(client_phone="79160000001"), None, one, WORK)
    assert [await refusal(outbox, phone, None, one, WORK) for phone in (FULL, FREE)] == ["challenge_used"] * 2


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_refusal_for_a_quota_uses_up_its_challenge(outbox: Outbox, key: RequestKey | None) -> None:
    one = await full(outbox)
    assert await refusal(outbox, FULL, key, one, WORK) == "quota_phone"
    other = key and replace(key, fingerprint="b" * 64)  # the same key for another phone is another request
    assert await refusal(outbox, FREE, other, one, WORK) == "challenge_used"
    await outbox.accept(callback(client_phone=FREE), other, one, OTHER_WORK)


async def test_the_same_request_again_after_a_refusal_may_use_its_challenge_again(outbox: Outbox) -> None:
    one = await full(outbox)
    assert await refusal(outbox, FULL, KEY, one, WORK) == "quota_phone"
    assert await refusal(outbox, FULL, KEY, one, WORK) == "quota_phone"
    later = callback(created_at=NOW + HOUR)
    assert (await outbox.accept(later, KEY, one, WORK)).id == later.id


async def test_what_others_wrote_stands_beside_a_refusal_that_uses_up_its_challenge(outbox: Outbox) -> None:
    one = await full(outbox)
    phones = [f"7916000{number:04}" for number in range(20)]
    wishes = [outbox.accept(callback(client_phone=phone), None, one) for phone in phones]
    refused = outbox.accept(from_address("198.51.100.1"), None, one, WORK)
    *accepted, last = await asyncio.gather(*wishes[:10], *wishes[10:], refused, return_exceptions=True)
    assert isinstance(last, TooManyRequestsError)
    assert not [answer for answer in accepted if isinstance(answer, BaseException)]
    assert await outbox.waiting() == 21
    assert await refusal(outbox, FREE, None, one, WORK) == "challenge_used"


async def test_who_has_used_up_his_own_quota_learns_nothing_of_a_phones(outbox: Outbox) -> None:
    one = rules(Quotas(*(tuple(parse_many(limit)) for limit in ("1/hour", "1/hour", "999/hour", "999/hour"))))
    await outbox.accept(
        callback(created_at=NOW - timedelta(minutes=10), site="blog"), None, one
    )  # FULL is at its limit
    await outbox.accept(from_address("203.0.113.9", client_phone="79160000003"), None, one)  # and this one stands
    await outbox.accept(from_address("198.51.100.1", client_phone="79160000002"), None, one)
    for phone in (FULL, "79160000003", FREE):
        with pytest.raises(TooManyRequestsError) as refused:
            await outbox.accept(from_address("198.51.100.1", client_phone=phone), None, one)
        assert refused.value.code == "quota_client"
