"""A challenge is valid for one request, which may be sent again, and one solution tests one number only."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from app.admission.admission_request import AdmissionRequest
from app.admission.batch import NONCES_KEPT
from app.admission.decide import decide
from app.errors import ConflictError, ServiceError
from app.outbox.callback import AcceptResult, Status
from tests.admission.deciding import (
    API_KEY,
    DAY,
    HOUR,
    KEY,
    NOW,
    OTHER_ADDRESS,
    OTHER_PHONE,
    PHONE,
    SECOND,
    config,
    request,
    result,
    results,
    snapshot,
    stored,
)
from tests.databases import PostgreSQL
from tests.outbox.factories import InspectableOutbox, callback, distinct, from_address

NONCE = "0" * 32
OTHER_NONCE = "1" * 32
FULL_PHONE = PHONE
FULL = stored(Status.PLACED, phone=FULL_PHONE, site="blog")
ONE_RING = config(per_phone="1/hour")


def test_a_second_request_with_the_same_challenge_is_refused() -> None:
    found = snapshot()
    mine, other = request(nonce=NONCE), request(nonce=NONCE, client_phone=OTHER_PHONE)
    assert results([mine, other], found, config()) == ["queued", "challenge_used"]
    assert found.new_nonces == {NONCE: mine.user}


def test_a_challenge_stored_for_another_request_is_used() -> None:
    found = snapshot()
    found.nonces[NONCE] = request().user
    assert results([request(nonce=NONCE)], found, config()) == ["challenge_used"]
    assert found.new_nonces == {}


def test_a_request_without_a_challenge_uses_none() -> None:
    found = snapshot()
    some = [request(client_phone=PHONE), request(client_phone=OTHER_PHONE)]
    assert results(some, found, config()) == ["queued", "queued"]
    assert found.new_nonces == {}


@pytest.mark.parametrize(
    ("mine", "expected"),
    [
        (request(nonce=NONCE, client_phone=FULL_PHONE), "quota_phone"),
        (request(nonce=NONCE, address_blocked=True), "blocked"),
        (request(nonce=NONCE, held_for="honeypot"), "held for honeypot"),
        (request(nonce=NONCE, client_phone=OTHER_PHONE), "queued"),
        (request(nonce=NONCE, client_phone=FULL_PHONE, site="blog"), "duplicate"),
    ],
    ids=["refused for its phone", "blocked", "held", "queued", "duplicate"],
)
def test_a_request_uses_its_challenge_whatever_becomes_of_it(mine: AdmissionRequest, expected: str) -> None:
    """Otherwise one solution would test many numbers."""
    found = snapshot(FULL)
    assert results([mine, request(nonce=NONCE, client_phone="79160000009")], found, ONE_RING) == [
        expected,
        "challenge_used",
    ]


def test_a_used_challenge_reveals_nothing_about_any_number() -> None:
    found = snapshot(FULL)
    found.nonces[NONCE] = "another request"
    some = [request(nonce=NONCE, client_phone=phone) for phone in (FULL_PHONE, "79160000009")]
    blocked = [request(nonce=NONCE, phone_blocked=True), request(nonce=NONCE, address_blocked=True)]
    assert results([*some, *blocked], found, ONE_RING) == ["challenge_used"] * 4


def test_a_refused_request_may_be_sent_again_with_its_key_and_challenge() -> None:
    found = snapshot(FULL)
    assert results([request(key=KEY, nonce=NONCE)] * 2, found, ONE_RING) == ["quota_phone", "quota_phone"]
    assert results([request(key=KEY, nonce=NONCE)], found, config()) == ["queued"], "as an hour later"


@pytest.mark.parametrize(
    "other", [{"fingerprint": "b" * 64}, {"key": "key-2"}, {"scope": "site:blog"}], ids=lambda other: next(iter(other))
)
def test_another_key_or_another_request_with_the_same_key_may_not_use_it(other: dict[str, str]) -> None:
    found = snapshot(FULL)
    other_request = request(key=replace(KEY, **other), nonce=NONCE, client_phone=OTHER_PHONE)
    assert results([request(key=KEY, nonce=NONCE), other_request], found, ONE_RING) == ["quota_phone", "challenge_used"]


def test_the_user_of_a_challenge_fits_its_column() -> None:
    assert len(request(key=KEY).user) == len(request().user) == 36


def test_a_replay_uses_no_challenge() -> None:
    found = snapshot()
    decide(request(key=KEY, nonce=NONCE), found, config())
    assert result(decide(request(key=KEY, nonce=OTHER_NONCE), found, config())) == "replayed"
    assert OTHER_NONCE not in found.nonces


async def test_a_used_challenge_is_stored_with_a_refusal_too(outbox: InspectableOutbox) -> None:
    await outbox.admit(callback(site="blog"), None, ONE_RING)
    for phone, code in ((PHONE, "quota_phone"), (OTHER_PHONE, "challenge_used")):
        with pytest.raises(ServiceError) as refusal:
            await outbox.admit(callback(client_phone=phone), None, ONE_RING, nonce=NONCE)
        assert refusal.value.code == code
    accepted = callback(client_phone=OTHER_PHONE)
    assert (await outbox.admit(accepted, None, ONE_RING, nonce=OTHER_NONCE)).id == accepted.id


async def test_a_refusal_keeps_the_other_requests_of_its_batch(outbox: InspectableOutbox) -> None:
    await outbox.admit(callback(site="blog"), None, ONE_RING)
    phones = [f"7916000{number:04}" for number in range(10)]
    requests = [outbox.admit(callback(client_phone=phone), None, ONE_RING) for phone in phones]
    full = outbox.admit(from_address(OTHER_ADDRESS), None, ONE_RING, nonce=NONCE)
    *accepted, last = await asyncio.gather(*requests, full, return_exceptions=True)
    assert getattr(last, "code", None) == "quota_phone"
    assert all(isinstance(answer, AcceptResult) for answer in accepted)
    assert await outbox.waiting() == 11


async def test_of_concurrent_requests_with_one_challenge_to_two_processes_one_is_accepted(
    postgresql: PostgreSQL,
) -> None:
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    # They have nothing else in common: the challenge itself is locked.
    requests = [distinct(number, site=f"s-{number}") for number in range(40)]
    answers = await asyncio.gather(
        *(both[number % 2].admit(each, nonce=NONCE) for number, each in enumerate(requests)), return_exceptions=True
    )
    assert sum(isinstance(answer, AcceptResult) for answer in answers) == 1
    assert sum(isinstance(answer, ConflictError) for answer in answers) == len(requests) - 1
    for outbox in both:
        outbox.close()


async def is_used(outbox: InspectableOutbox, **changes: object) -> bool:
    try:
        await outbox.admit(callback(client_phone=OTHER_PHONE, **changes), nonce=NONCE)
    except ConflictError:
        return True
    return False


@pytest.mark.parametrize("back", [-HOUR, timedelta(0), HOUR, DAY, 400 * DAY])
async def test_a_used_challenge_stays_used_wherever_the_clock_is_set(
    outbox: InspectableOutbox, back: timedelta
) -> None:
    await outbox.admit(callback(), nonce=NONCE)
    await outbox.expire(NOW - back)
    assert await is_used(outbox, created_at=NOW - back)


async def test_a_used_challenge_is_forgotten_after_two_days(outbox: InspectableOutbox) -> None:
    await outbox.admit(callback(), nonce=NONCE)
    assert NONCES_KEPT == 2 * DAY
    await outbox.expire(NOW + NONCES_KEPT)
    assert await is_used(outbox)
    await outbox.expire(NOW + NONCES_KEPT + SECOND)
    assert not await is_used(outbox)


async def test_with_an_api_key_no_challenge_is_needed(outbox: InspectableOutbox) -> None:
    await outbox.admit(callback(), nonce=NONCE)
    accepted = callback(api_key=API_KEY, client_phone=OTHER_PHONE)
    assert (await outbox.admit(accepted)).id == accepted.id
