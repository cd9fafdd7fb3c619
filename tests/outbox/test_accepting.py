"""Admission: repeated requests, quotas and challenges; on both databases."""

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
from tests.outbox.factories import NOW, InspectableOutbox, callback, from_address, rules, update_columns

KEY = RequestKey("site:shop", "key-1", "a" * 64)
HOUR = timedelta(hours=1)


async def test_an_accepted_callback_has_a_status_under_its_id(outbox: Outbox) -> None:
    request = callback()
    accepted = await outbox.accept(request, None, rules())
    assert (accepted.id, accepted.status, accepted.duplicate, accepted.replayed) == (request.id, "queued", False, False)
    current = await outbox.callback_status(request.id)
    assert current is not None
    assert current.status == "queued"
    assert await outbox.callback_status("unknown") is None
    assert await outbox.waiting() == 1


async def test_the_same_key_with_the_same_request_always_returns_the_same_callback(outbox: Outbox) -> None:
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


async def test_a_hundred_concurrent_requests_with_one_key_create_one_callback(outbox: Outbox) -> None:
    answers = await asyncio.gather(*(outbox.accept(callback(), KEY, rules()) for _ in range(100)))
    assert len({answer.id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert await outbox.waiting() == 1


def config_with_limit(name: str, limit: str) -> AdmissionConfig:
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
async def test_a_quota_counts_over_a_sliding_window_and_returns_the_wait(
    outbox: Outbox, name: str, code: str, same: dict[str, str], other: dict[str, str]
) -> None:
    def request(number: int, minutes: float, **changes: str) -> Callback:
        values = {field: value.format(number) for field, value in same.items()} | changes
        return callback(created_at=NOW + timedelta(minutes=minutes), **values)

    three = config_with_limit(name, "3/hour")
    for number, minutes in enumerate((0, 10, 20)):
        await outbox.accept(request(number, minutes), None, three)
    with pytest.raises(TooManyRequestsError) as refused:
        await outbox.accept(request(4, 30), None, three)
    assert (refused.value.code, refused.value.retry_after) == (code, 30 * 60)
    assert await outbox.waiting() == 3, "a refused request leaves nothing behind"
    await outbox.accept(request(5, 31, **other), None, three)
    await outbox.accept(request(6, 61), None, three)


async def test_of_several_limits_each_one_counts(outbox: Outbox) -> None:
    daily = config_with_limit("per_phone", "2/hour;3/day")
    for hours in (0, 2, 4):
        await outbox.accept(callback(created_at=NOW + hours * HOUR, site=f"shop{hours}"), None, daily)
    with pytest.raises(TooManyRequestsError) as refused:
        await outbox.accept(callback(created_at=NOW + 6 * HOUR), None, daily)
    assert refused.value.retry_after == (18 * HOUR).total_seconds()


async def test_a_phone_already_counted_for_a_client_is_no_new_phone(outbox: Outbox) -> None:
    two = config_with_limit("per_client_phones", "2/hour")
    for number in (1, 2):
        await outbox.accept(callback(client_phone=f"7916000000{number}"), None, two)
    await outbox.accept(callback(client_phone="79160000001", site="blog"), None, two)


async def test_client_quotas_ignore_requests_with_an_api_key(outbox: Outbox) -> None:
    one = config_with_limit("per_client", "1/hour")
    for number in range(3):
        await outbox.accept(callback(client_phone=f"7916000000{number}", client_bucket=None), None, one)


async def test_concurrent_requests_for_one_phone_stop_exactly_at_the_limit(outbox: Outbox) -> None:
    three = config_with_limit("per_phone", "3/hour")
    requests = [callback(site=f"shop-{number}") for number in range(100)]
    answers = await asyncio.gather(
        *(outbox.accept(request, replace(KEY, scope=f"site:{request.site}"), three) for request in requests),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, TooManyRequestsError) for answer in answers) == 97
    assert await outbox.waiting() == 3


async def test_times_are_read_as_they_were_written(outbox: Outbox) -> None:
    exact = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)
    await outbox.accept(callback(created_at=exact, call_expected_at=exact), KEY, rules())
    again = await outbox.accept(callback(created_at=exact), KEY, rules())
    assert (again.created_at, again.call_expected_at) == (exact, exact)


@pytest.mark.parametrize("key", [None, KEY])
async def test_an_insert_with_a_lost_commit_reply_is_recognised_on_retry(
    outbox: Outbox, key: RequestKey | None
) -> None:
    request = callback()
    first = await outbox.accept(request, key, rules())
    assert await outbox.accept(request, key, rules()) == first
    assert await outbox.waiting() == 1


@pytest.mark.parametrize("status", ["failed", "cancelled", "held"])
async def test_an_insert_with_a_lost_commit_reply_is_recognised_in_any_later_status(
    outbox: InspectableOutbox, status: str
) -> None:
    request = callback()
    first = await outbox.accept(request, None, rules())
    update_columns(outbox, request.id, status=status)
    assert await outbox.accept(request, None, config_with_limit("per_phone", "1/hour")) == first


async def test_a_stored_response_can_be_read_without_requesting_a_callback(outbox: Outbox) -> None:
    assert await outbox.answered(KEY) is None
    first = await outbox.accept(callback(), KEY, rules())
    assert await outbox.answered(KEY) == replace(first, replayed=True)
    with pytest.raises(UnprocessableContentError) as refused:
        await outbox.answered(replace(KEY, fingerprint="b" * 64))
    assert refused.value.code == "request_id_reused"


CHALLENGE = Challenge("0" * 32, NOW + timedelta(hours=9))
OTHER_CHALLENGE = Challenge("1" * 32, NOW + timedelta(hours=9))
FULL_PHONE, FREE_PHONE = "79161234567", "79160000009"


async def exhaust_phone(outbox: Outbox) -> AdmissionConfig:
    """Use up the limit of FULL_PHONE; return a config with that limit."""
    one = config_with_limit("per_phone", "1/hour")
    await outbox.accept(callback(created_at=NOW - timedelta(minutes=10), site="blog"), None, one)
    return one


async def refusal(
    outbox: Outbox, phone: str, key: RequestKey | None, config: AdmissionConfig, challenge: Challenge
) -> str:
    other = from_address("198.51.100.1", client_phone=phone)
    with pytest.raises((TooManyRequestsError, ConflictError)) as refused:
        await outbox.accept(other, key, config, challenge)
    return str(refused.value.code)


async def test_a_used_challenge_reveals_nothing_about_any_number(outbox: Outbox) -> None:
    one = await exhaust_phone(outbox)
    await outbox.accept(callback(client_phone="79160000001"), None, one, CHALLENGE)
    assert [await refusal(outbox, phone, None, one, CHALLENGE) for phone in (FULL_PHONE, FREE_PHONE)] == [
        "challenge_used"
    ] * 2


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_refusal_for_a_quota_consumes_its_challenge(outbox: Outbox, key: RequestKey | None) -> None:
    one = await exhaust_phone(outbox)
    assert await refusal(outbox, FULL_PHONE, key, one, CHALLENGE) == "quota_phone"
    other = key and replace(key, fingerprint="b" * 64)  # the same key for another phone is another request
    assert await refusal(outbox, FREE_PHONE, other, one, CHALLENGE) == "challenge_used"
    await outbox.accept(callback(client_phone=FREE_PHONE), other, one, OTHER_CHALLENGE)


async def test_a_refused_request_may_be_repeated_with_the_same_challenge(outbox: Outbox) -> None:
    one = await exhaust_phone(outbox)
    assert await refusal(outbox, FULL_PHONE, KEY, one, CHALLENGE) == "quota_phone"
    assert await refusal(outbox, FULL_PHONE, KEY, one, CHALLENGE) == "quota_phone"
    later = callback(created_at=NOW + HOUR)
    assert (await outbox.accept(later, KEY, one, CHALLENGE)).id == later.id


async def test_a_refusal_that_consumes_its_challenge_keeps_the_writes_of_its_batch(outbox: Outbox) -> None:
    one = await exhaust_phone(outbox)
    phones = [f"7916000{number:04}" for number in range(20)]
    requests = [outbox.accept(callback(client_phone=phone), None, one) for phone in phones]
    refused = outbox.accept(from_address("198.51.100.1"), None, one, CHALLENGE)
    *accepted, last = await asyncio.gather(*requests[:10], *requests[10:], refused, return_exceptions=True)
    assert isinstance(last, TooManyRequestsError)
    assert not [answer for answer in accepted if isinstance(answer, BaseException)]
    assert await outbox.waiting() == 21
    assert await refusal(outbox, FREE_PHONE, None, one, CHALLENGE) == "challenge_used"


async def test_a_visitor_beyond_their_quota_learns_nothing_about_a_phones_quota(outbox: Outbox) -> None:
    one = rules(Quotas(*(tuple(parse_many(limit)) for limit in ("1/hour", "1/hour", "999/hour", "999/hour"))))
    await outbox.accept(
        callback(created_at=NOW - timedelta(minutes=10), site="blog"), None, one
    )  # FULL_PHONE is at its limit
    await outbox.accept(from_address("203.0.113.9", client_phone="79160000003"), None, one)  # this one is queued
    await outbox.accept(from_address("198.51.100.1", client_phone="79160000002"), None, one)
    for phone in (FULL_PHONE, "79160000003", FREE_PHONE):
        with pytest.raises(TooManyRequestsError) as refused:
            await outbox.accept(from_address("198.51.100.1", client_phone=phone), None, one)
        assert refused.value.code == "quota_client"
