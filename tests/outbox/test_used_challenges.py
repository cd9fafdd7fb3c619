"""A challenge is valid for one request, which may be repeated."""

import asyncio
from datetime import timedelta

import pytest
from limits import parse_many

from app.errors import ConflictError, TooManyRequestsError
from app.outbox.callback import AcceptResult, RequestKey
from app.outbox.clock_skew import MAX_CLOCK_SKEW
from app.outbox.outbox import Outbox
from app.outbox.quotas import Quotas
from app.outbox.used_challenges import Challenge
from tests.databases import PostgreSQL
from tests.outbox.factories import NOW, callback, rules
from tests.outbox.test_quotas import WIDE

ONE = Challenge("00" * 16, NOW + timedelta(minutes=10))
OTHER_PHONE = "79161234568"


async def test_a_second_request_with_the_same_challenge_is_refused_and_not_stored(outbox: Outbox) -> None:
    await outbox.accept(callback(), None, rules(), ONE)
    second = callback(client_phone=OTHER_PHONE)
    with pytest.raises(ConflictError) as refused:
        await outbox.accept(second, None, rules(), ONE)
    assert refused.value.code == "challenge_used"
    assert await outbox.callback_status(second.id) is None


async def test_of_concurrent_requests_with_one_challenge_to_two_processes_one_is_accepted(
    postgresql: PostgreSQL,
) -> None:
    url = postgresql.new_database()
    both = [Outbox.open(url), Outbox.open(url)]
    requests = [callback(client_phone=str(79160000000 + number)) for number in range(40)]
    answers = await asyncio.gather(
        *(both[number % 2].accept(each, None, rules(), ONE) for number, each in enumerate(requests)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, AcceptResult) for answer in answers) == 1
    assert sum(isinstance(answer, ConflictError) for answer in answers) == len(requests) - 1
    for outbox in both:
        outbox.close()


async def test_a_repeated_request_gets_the_first_response(outbox: Outbox) -> None:
    key = RequestKey("site:shop", "one", "same")
    first = await outbox.accept(callback(), key, rules(), ONE)
    again = await outbox.accept(callback(), key, rules(), ONE)
    assert (again.id, again.replayed) == (first.id, True)


async def test_a_retry_after_a_lost_commit_reply_is_the_same_request(outbox: Outbox) -> None:
    same = callback()
    first = await outbox.accept(same, None, rules(), ONE)
    assert await outbox.accept(same, None, rules(), ONE) == first


async def test_a_request_refused_for_a_quota_has_consumed_its_challenge(outbox: Outbox) -> None:
    used_up = rules(Quotas(tuple(parse_many("1/hour")), WIDE, WIDE, WIDE))
    await outbox.accept(callback(), None, used_up)
    with pytest.raises(TooManyRequestsError):
        await outbox.accept(callback(department="sales", created_at=NOW + timedelta(minutes=3)), None, used_up, ONE)
    with pytest.raises(ConflictError):
        await outbox.accept(callback(client_phone=OTHER_PHONE), None, used_up, ONE)


async def test_a_duplicate_consumes_its_challenge_too(outbox: Outbox) -> None:
    await outbox.accept(callback(), None, rules())
    assert (await outbox.accept(callback(), None, rules(), ONE)).duplicate
    with pytest.raises(ConflictError):
        await outbox.accept(callback(client_phone=OTHER_PHONE), None, rules(), ONE)


async def test_a_challenge_is_deleted_once_it_has_expired_by_every_clock(outbox: Outbox) -> None:
    await outbox.accept(callback(), None, rules(), ONE)
    await outbox.expire(ONE.expires_at + MAX_CLOCK_SKEW - timedelta(seconds=1))
    with pytest.raises(ConflictError):
        await outbox.accept(callback(client_phone=OTHER_PHONE), None, rules(), ONE)
    await outbox.expire(ONE.expires_at + MAX_CLOCK_SKEW + timedelta(seconds=1))
    await outbox.accept(callback(client_phone=OTHER_PHONE), None, rules(), ONE)
