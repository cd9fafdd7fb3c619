"""Replays: a request sent again with the same request key gets the first response."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import update

from app.admission.admission_queries import stored_replay
from app.admission.admission_request import AdmissionRequest
from app.admission.decide import decide
from app.admission.snapshot import Snapshot, StoredKey
from app.errors import TooManyRequestsError, UnprocessableContentError
from app.outbox.callback import AcceptResult, RequestKey, Status
from app.outbox.schema import LEGACY_FINGERPRINT, request_keys
from tests.admission.deciding import (
    API_KEY,
    DAY,
    HOUR,
    KEY,
    NOW,
    OTHER_PHONE,
    PHONE,
    answered,
    config,
    request,
    result,
    results,
    snapshot,
    stored,
)
from tests.outbox.factories import InspectableOutbox, callback, mark_placed

FIRST = AcceptResult("first", "queued", NOW - HOUR, NOW - HOUR)
OTHER = replace(KEY, fingerprint="b" * 64)
NOTHING_FREE = {"per_address": "1/hour", "per_site": "1/hour", "held_per_site": "1/hour"}


def with_key(*stored_keys: StoredKey) -> Snapshot:
    found = snapshot()
    found.keys[KEY.scope, KEY.key] = list(stored_keys)
    return found


def test_a_request_with_the_same_key_gets_the_first_response_and_nothing_is_stored() -> None:
    found = with_key(StoredKey(KEY.fingerprint, FIRST, "shop", PHONE))
    decision = decide(request(key=KEY, nonce="n"), found, config())
    assert decision.answer == replace(FIRST, replayed=True)
    assert (result(decision), found.new_nonces, found.of_phone(PHONE)) == ("replayed", {}, [])


def test_a_replay_comes_before_everything_that_would_refuse_or_hold_the_request() -> None:
    found = with_key(StoredKey(KEY.fingerprint, FIRST, "shop", PHONE))
    found.nonces["n"] = "another request"
    mine = request(key=KEY, nonce="n", address_blocked=True, phone_blocked=True, held_for="honeypot")
    assert results([mine], found, config(NOTHING_FREE, per_phone="1/hour")) == ["replayed"]


@pytest.mark.parametrize("key", [replace(KEY, scope="site:blog"), replace(KEY, key="key-2")], ids=["scope", "key"])
def test_another_scope_or_key_is_another_request(key: RequestKey) -> None:
    found = with_key(StoredKey(KEY.fingerprint, FIRST, "shop", PHONE))
    assert results([request(key=key)], found, config()) == ["queued"]


def test_a_visitors_key_with_another_fingerprint_is_another_request() -> None:
    """Otherwise a stranger could find out which keys exist."""
    found = with_key(StoredKey(KEY.fingerprint, FIRST, "shop", PHONE))
    decision = decide(request(key=OTHER), found, config())
    assert (result(decision), answered(decision).id != FIRST.id) == ("queued", True)
    assert results([request(key=KEY), request(key=OTHER)], found, config()) == ["replayed", "replayed"]


def test_an_api_keys_key_with_another_fingerprint_is_refused() -> None:
    found = with_key(StoredKey(KEY.fingerprint, FIRST, "shop", PHONE))
    assert results([request(key=OTHER, api_key=API_KEY)], found, config()) == ["request_id_reused"]
    assert results([request(key=KEY, api_key=API_KEY)], found, config()) == ["replayed"]


@pytest.mark.parametrize(
    ("site", "phone", "visitor", "integration"),
    [
        ("shop", PHONE, "replayed", "replayed"),
        ("blog", PHONE, "queued", "request_id_reused"),
        ("shop", OTHER_PHONE, "queued", "request_id_reused"),
        ("shop", None, "queued", "request_id_reused"),  # its personal data is erased
    ],
)
def test_a_key_of_an_older_version_matches_by_site_and_phone(
    site: str, phone: str | None, visitor: str, integration: str
) -> None:
    """Its fingerprint was made in another way."""
    for api_key, expected in ((None, visitor), (API_KEY, integration)):
        found = with_key(StoredKey(LEGACY_FINGERPRINT, FIRST, site, phone))
        assert results([request(key=KEY, api_key=api_key)], found, config()) == [expected]


def test_a_fingerprint_matches_whatever_the_site_and_phone() -> None:
    """They are part of the fingerprint, and the phone may have been erased since."""
    found = with_key(StoredKey(KEY.fingerprint, FIRST, "shop", None))
    assert results([request(key=KEY)], found, config()) == ["replayed"]


@pytest.mark.parametrize(
    "first",
    [request(key=KEY), request(key=KEY, held_for="honeypot"), request(key=KEY, api_key=API_KEY)],
    ids=["queued", "held", "with an API key"],
)
def test_the_next_request_of_a_batch_is_a_replay_of_the_first(first: AdmissionRequest) -> None:
    found = snapshot()
    decisions = [decide(first, found, config()) for _ in range(2)]
    assert decisions[1].answer == replace(answered(decisions[0]), replayed=True)
    assert decisions[1].admitted is None


def test_a_duplicates_key_replays_what_its_sender_was_told() -> None:
    found = snapshot(stored(Status.PLACED, created_at=NOW))
    first, again = [decide(request(key=KEY, api_key=API_KEY), found, config()) for _ in range(2)]
    assert answered(first).duplicate
    assert again.answer == replace(answered(first), replayed=True)


def test_a_refused_request_leaves_no_key() -> None:
    found = snapshot(stored(Status.PLACED, site="blog"))
    assert results([request(key=KEY)] * 2, found, config(per_phone="1/hour")) == ["quota_phone", "quota_phone"]


async def test_the_first_response_is_replayed_a_month_later(outbox: InspectableOutbox) -> None:
    exact = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)
    first = await outbox.admit(callback(created_at=exact), KEY)
    again = await outbox.admit(callback(created_at=exact + 30 * DAY), KEY)
    assert again == replace(first, replayed=True)
    assert (again.created_at, again.call_expected_at) == (exact, exact)
    assert await outbox.waiting() == 1


async def test_a_visitors_key_may_be_stored_with_several_fingerprints(outbox: InspectableOutbox) -> None:
    first = await outbox.admit(callback(), KEY)
    other = await outbox.admit(callback(client_phone=OTHER_PHONE), OTHER)
    assert other.id != first.id
    assert [(await outbox.admit(callback(), key)).id for key in (KEY, OTHER)] == [first.id, other.id]


async def test_an_api_keys_key_is_refused_for_another_request(outbox: InspectableOutbox) -> None:
    await outbox.admit(callback(api_key=API_KEY), KEY)
    with pytest.raises(UnprocessableContentError) as refusal:
        await outbox.admit(callback(api_key=API_KEY, client_phone=OTHER_PHONE), OTHER)
    assert refusal.value.code == "request_id_reused"
    assert await outbox.waiting() == 1


async def test_a_hundred_concurrent_requests_with_one_key_create_one_callback(outbox: InspectableOutbox) -> None:
    answers = await asyncio.gather(*(outbox.admit(callback(), KEY) for _ in range(100)))
    assert len({answer.id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert await outbox.waiting() == 1


async def test_the_key_of_a_duplicate_still_finds_it_after_the_window(outbox: InspectableOutbox) -> None:
    first = await outbox.admit(callback())
    mark_placed(outbox, first.id)
    duplicate = await outbox.admit(callback(created_at=NOW + timedelta(seconds=1)), KEY)
    again = await outbox.admit(callback(created_at=NOW + HOUR), KEY)
    assert again == replace(duplicate, replayed=True)


async def test_a_refused_request_may_be_sent_again_with_its_key(outbox: InspectableOutbox) -> None:
    once = config(per_phone="1/hour")
    await outbox.admit(callback(site="blog"), None, once)
    with pytest.raises(TooManyRequestsError):
        await outbox.admit(callback(), KEY, once)
    again = callback()
    assert (await outbox.admit(again, KEY)).id == again.id


async def test_a_stored_response_can_be_read_without_requesting_a_callback(outbox: InspectableOutbox) -> None:
    ask = partial(stored_replay, site="shop", phone=None)
    assert await outbox.read(partial(ask, key=KEY)) is None
    first = await outbox.admit(callback(), KEY)
    assert await outbox.read(partial(ask, key=KEY)) == replace(first, replayed=True)
    assert await outbox.read(partial(ask, key=OTHER)) is None


async def test_a_stored_response_of_before_is_read_by_site_and_phone(outbox: InspectableOutbox) -> None:
    first = await outbox.admit(callback(), KEY)
    outbox.execute(update(request_keys).values(fingerprint=LEGACY_FINGERPRINT))
    ask = partial(stored_replay, key=KEY, site="shop", phone=callback().client_phone)
    assert await outbox.read(ask) == replace(first, replayed=True)
    assert await outbox.read(partial(ask, phone="79169999999")) is None
    assert await outbox.read(partial(ask, phone=None)) is None
    assert await outbox.read(partial(ask, site="blog")) is None
