"""Repeated requests get the stored response, and no visitor learns of another's requests; on both databases."""

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from limits import parse_many
from sqlalchemy import literal, update

from app.errors import TooManyRequestsError
from app.outbox.callback import RequestKey, Status, public_status
from app.outbox.outbox import Outbox
from app.outbox.quotas import Quotas
from app.outbox.repeats import REPEATS
from app.outbox.schema import Instant, callbacks
from tests.outbox.factories import NOW, InspectableOutbox, callback, from_address, mark_placed, rules, update_columns

KEY = RequestKey("site:shop", "key-1", "a" * 64)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
OTHER_VISITOR = "198.51.100.1"
WIDE = tuple(parse_many("999/hour"))
OPENS = NOW + 10 * HOUR
PLACING_TIME = 2 * SECOND
"""How long it takes until Chaser has accepted a call."""


async def test_an_alias_with_a_lost_commit_reply_gets_the_same_response_on_retry(outbox: Outbox) -> None:
    await outbox.accept(callback(), None, rules())
    other = callback(client_bucket=OTHER_VISITOR)
    first = await outbox.accept(other, None, rules())
    assert await outbox.accept(other, None, rules()) == first
    assert (first.id, first.duplicate) == (other.id, False)
    assert await outbox.waiting() == 1


@pytest.mark.parametrize("late", [timedelta(seconds=30), timedelta(minutes=30)])
async def test_another_visitors_request_for_the_same_number_looks_new_and_causes_no_second_call(
    outbox: Outbox, late: timedelta
) -> None:
    first = await outbox.accept(callback(), None, rules())
    asked_at = NOW + late
    other = callback(created_at=asked_at, call_expected_at=asked_at, client_bucket=OTHER_VISITOR)
    answer = await outbox.accept(other, KEY, rules())
    assert (answer.id, answer.created_at, answer.call_expected_at) == (other.id, asked_at, asked_at)
    assert (answer.status, answer.duplicate) == ("queued", False)
    assert await outbox.waiting() == 1
    current = await outbox.callback_status(answer.id)
    assert current is not None
    assert (current.id, current.status) == (other.id, "queued")
    assert current.call_expected_at == asked_at, "the original's time would reveal it"
    again = await outbox.accept(callback(created_at=NOW + HOUR, client_bucket=OTHER_VISITOR), KEY, rules())
    assert again == replace(answer, replayed=True)
    assert first.id != answer.id


async def test_another_visitor_who_repeats_a_request_is_answered_as_for_any_number(outbox: InspectableOutbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    mark_placed(outbox, first.id)
    other = callback(client_bucket=OTHER_VISITOR, created_at=NOW + 100 * SECOND)
    alias = await outbox.accept(other, None, rules())
    again = await outbox.accept(callback(client_bucket=OTHER_VISITOR, created_at=NOW + 200 * SECOND), None, rules())
    assert again == replace(alias, status=Status.PLACED, duplicate=True), "within the window of their own request"
    third = callback(client_bucket=OTHER_VISITOR, created_at=NOW + 300 * SECOND)
    assert (await outbox.accept(third, None, rules())).id == third.id


@pytest.mark.parametrize(
    "config",
    [Quotas(WIDE, tuple(parse_many("2/hour")), WIDE, WIDE), Quotas(WIDE, WIDE, tuple(parse_many("2/hour")), WIDE)],
)
@pytest.mark.parametrize(
    "addresses",
    [["198.51.100.1"] * 3, [f"2001:db8:0:{n:x}::1" for n in range(5)], [f"2001:db8:0:{n:x}00::1" for n in range(9)]],
)
async def test_an_alias_counts_in_the_quotas_of_its_visitor(
    outbox: Outbox, config: Quotas, addresses: list[str]
) -> None:
    *within, beyond = addresses
    for number, address in enumerate(addresses):
        await outbox.accept(callback(client_phone=f"7916{number:07}"), None, rules())
        if address != beyond or number < len(within):
            await outbox.accept(from_address(address, client_phone=f"7916{number:07}"), None, rules(config))
    with pytest.raises(TooManyRequestsError) as refused:
        await outbox.accept(from_address(beyond, client_phone="79169999999"), None, rules(config))
    assert (refused.value.code.startswith("quota_client"), refused.value.retry_after) == (True, 3600)


def place_due_calls(outbox: InspectableOutbox, now: datetime) -> None:
    """Mark every call as placed that is at least `PLACING_TIME` old."""
    done = (callbacks.c.status == Status.QUEUED) & (callbacks.c.created_at <= now - PLACING_TIME)
    taken = {"status": Status.PLACED, "due_at": None, "updated_at": callbacks.c.created_at + _interval(PLACING_TIME)}
    outbox.execute(update(callbacks).where(done).values(taken))


def _interval(length: timedelta) -> Any:
    return literal(NOW + length, Instant()) - literal(NOW, Instant())


class ProbingVisitor:
    """A visitor who requests calls to numbers at one site, and records all that the service reveals."""

    def __init__(self, outbox: Outbox, site: str, network: str, *, night: bool) -> None:
        self.observed: list[Any] = []
        self._outbox, self._site, self._network, self._night = outbox, site, network, night
        self._ids: list[str] = []

    def request(self, number: int, now: datetime, *, host: int = 1, **changes: Any) -> Any:
        after_hours = (
            {"nwt_action": "always_call", "call_stack_interval": 10, "call_expected_at": OPENS} if self._night else {}
        )
        phone = f"79{'1' if self._site == 'known' else '2'}6{number:07}"
        return from_address(
            f"{self._network}{host:x}::1", site=self._site, client_phone=phone, created_at=now, **after_hours | changes
        )

    async def submit(self, number: int, now: datetime, **changes: Any) -> None:
        config = rules(Quotas(WIDE, tuple(parse_many("6/hour")), tuple(parse_many("3/hour")), WIDE))
        key = RequestKey(self._site, f"{len(self.observed)}", "")
        try:
            answer = await self._outbox.accept(self.request(number, now, **changes), key, config)
        except TooManyRequestsError as refused:
            self.observed.append((refused.code, refused.retry_after))
            return
        if answer.id not in self._ids:
            self._ids.append(answer.id)
        index = self._ids.index(answer.id)
        self.observed.append((index, answer.status, answer.created_at, answer.call_expected_at, answer.duplicate))

    async def poll(self, now: datetime) -> None:
        for callback_id in self._ids:
            seen = await self._outbox.callback_status(callback_id, now)
            assert seen is not None
            self.observed.append((public_status(seen.status), seen.call_expected_at))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("night", [False, True], ids=["by day", "at night"])
async def test_a_visitor_cannot_distinguish_known_numbers_from_unknown_ones(
    outbox: InspectableOutbox, seed: int, *, night: bool
) -> None:
    """Quotas don't reveal it either. The limit of a number itself can't be hidden, so it is high here."""
    rng = random.Random(seed)
    at_known = ProbingVisitor(outbox, "known", "2001:db8:1:", night=night)
    at_unknown = ProbingVisitor(outbox, "unknown", "2001:db8:2:", night=night)
    for number in range(5):
        asked_at = NOW - rng.randrange(1, 119) * SECOND
        await outbox.accept(at_known.request(number, asked_at, host=0xFF00 + number), None, rules())
        # The other site gets requests for other numbers, so that its quotas are used as much.
        await outbox.accept(at_unknown.request(100 + number, asked_at, host=0xFF00 + number), None, rules())
    now = NOW
    for _ in range(60):
        now += timedelta(seconds=rng.choice([0, 0.5, 1, 30, 100, 600]))
        place_due_calls(outbox, now)
        number, other_number = rng.randrange(5), rng.randrange(5) if rng.random() < 0.2 else None
        changes = {"hold": "honeypot"} if rng.random() < 0.1 else {}
        for visitor in (at_known, at_unknown):
            if other_number is not None:
                await outbox.accept(visitor.request(other_number, now, host=0xFFFF), None, rules())
            await visitor.submit(number, now, **changes)
            await visitor.poll(now)
    assert at_known.observed == at_unknown.observed
    assert {"quota_client", "quota_client_phones"} & {each[0] for each in at_known.observed}, (
        "the visitor reached their limits"
    )


async def test_the_true_status_of_an_alias_is_available_at_once(outbox: InspectableOutbox) -> None:
    await outbox.accept(callback(), None, rules())
    place_due_calls(outbox, NOW + PLACING_TIME)
    other = callback(client_bucket=OTHER_VISITOR, created_at=NOW + 10 * SECOND)
    await outbox.accept(other, None, rules())
    seen = [
        await outbox.callback_status(other.id, now) for now in (other.created_at, other.created_at + PLACING_TIME, None)
    ]
    assert [current and current.status for current in seen] == ["queued", "placed", "placed"]


async def test_an_alias_shows_its_true_status_after_a_minute(outbox: Outbox) -> None:
    """However long the original callback took."""
    first = callback(planned_time=NOW + HOUR)
    await outbox.accept(first, None, rules())
    other = callback(client_bucket=OTHER_VISITOR, planned_time=NOW + HOUR, created_at=NOW + 30 * timedelta(minutes=1))
    await outbox.accept(other, None, rules())
    await outbox.cancel(first.id, NOW + 30 * timedelta(minutes=1))
    seen = [await outbox.callback_status(other.id, other.created_at + seconds * SECOND) for seconds in (59, 60)]
    assert [current and current.status for current in seen] == ["queued", "cancelled"]


async def test_an_alias_counts_no_longer_than_a_window_when_the_clock_is_set_back(outbox: Outbox) -> None:
    one = rules(Quotas(WIDE, tuple(parse_many("1/hour")), WIDE, WIDE))
    await outbox.accept(callback(planned_time=NOW + 30 * HOUR), None, rules())
    await outbox.expire(NOW + HOUR)
    other = callback(planned_time=NOW + 30 * HOUR, created_at=NOW + HOUR, client_bucket=OTHER_VISITOR)
    assert (await outbox.accept(other, None, one)).id == other.id
    back = callback(client_phone="79160000002", client_bucket=OTHER_VISITOR, created_at=NOW - 5 * HOUR)
    with pytest.raises(TooManyRequestsError) as refused:
        await outbox.accept(back, None, one)
    assert refused.value.retry_after == 3600
    for hours in (4, 6):  # the second time is after the clock has passed its old reading
        later = replace(
            back, id=str(hours), client_phone=f"7916000000{hours}", created_at=NOW - 5 * HOUR + hours * HOUR
        )
        await outbox.accept(later, None, one)


@pytest.mark.parametrize("bucket", ["203.0.113.7", OTHER_VISITOR])
async def test_repetitions_of_one_callback_are_limited_per_hour(outbox: Outbox, bucket: str) -> None:
    planned = NOW + 30 * HOUR  # so it absorbs requests for long
    first = await outbox.accept(callback(planned_time=planned), None, rules())
    keys = [replace(KEY, key=f"key-{number}") for number in range(2 * REPEATS)]
    repeats = [callback(client_bucket=bucket, planned_time=planned) for _ in keys]
    answers = await asyncio.gather(
        *(outbox.accept(again, key, rules()) for again, key in zip(repeats, keys, strict=True)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, TooManyRequestsError)]
    repeated = len(keys) - len(refused) - (bucket == OTHER_VISITOR)  # their first request repeats none
    assert repeated == REPEATS
    assert {(each.code, each.retry_after) for each in refused} == {("quota_client", 3600)}
    same = callback(client_bucket=bucket, planned_time=planned)
    assert (await outbox.accept(same, keys[0], rules())).replayed, "a stored response is replayed"
    by_api_key = callback(client_bucket=None, api_key="crm", planned_time=planned)
    assert (await outbox.accept(by_api_key, None, rules())).id == first.id, "API keys have no such limit"
    later = callback(client_bucket=bucket, planned_time=planned, created_at=NOW + HOUR)
    assert (await outbox.accept(later, KEY, rules())).duplicate


@pytest.mark.parametrize("bucket", ["203.0.113.7", OTHER_VISITOR])
async def test_repeating_a_request_does_not_extend_its_window(outbox: InspectableOutbox, bucket: str) -> None:
    mark_placed(outbox, (await outbox.accept(callback(), None, rules())).id)
    for seconds, key in ((10, "first"), (100, "second")):
        again = callback(client_bucket=bucket, created_at=NOW + seconds * SECOND)
        await outbox.accept(again, replace(KEY, key=key), rules())
    later = callback(client_bucket=bucket, created_at=NOW + 150 * SECOND)
    assert (await outbox.accept(later, replace(KEY, key="third"), rules())).id == later.id


async def test_repetitions_of_others_do_not_limit_a_visitor(outbox: Outbox) -> None:
    planned = NOW + 30 * HOUR
    for number in range(REPEATS + 1):
        await outbox.accept(callback(planned_time=planned), replace(KEY, key=f"key-{number}"), rules())
    other = callback(client_bucket=OTHER_VISITOR, planned_time=planned)
    assert (await outbox.accept(other, replace(KEY, key="first"), rules())).id == other.id


async def test_another_visitor_who_changes_the_time_gets_their_first_response_as_for_any_number(outbox: Outbox) -> None:
    planned = {"planned_time": NOW + HOUR, "call_expected_at": NOW + HOUR}
    await outbox.accept(callback(**planned), None, rules())
    alias = await outbox.accept(callback(client_bucket=OTHER_VISITOR, **planned), None, rules())
    again = await outbox.accept(callback(client_bucket=OTHER_VISITOR, created_at=NOW + SECOND), None, rules())
    assert again == replace(alias, duplicate=True)


async def test_a_visitor_gets_the_alias_of_an_older_call_again_although_there_is_a_newer_one(
    outbox: InspectableOutbox,
) -> None:
    mark_placed(outbox, (await outbox.accept(callback(), None, rules())).id)
    alias = await outbox.accept(callback(client_bucket=OTHER_VISITOR, created_at=NOW + 110 * SECOND), None, rules())
    newer = callback(client_bucket="198.51.100.2", created_at=NOW + 150 * SECOND)
    assert (await outbox.accept(newer, None, rules())).id == newer.id
    again = await outbox.accept(callback(client_bucket=OTHER_VISITOR, created_at=NOW + 200 * SECOND), None, rules())
    assert (again.id, again.duplicate) == (alias.id, True)


async def test_a_retried_alias_resolves_to_the_callback_that_absorbs_it_now(
    outbox: InspectableOutbox,
) -> None:
    first, second = callback(), callback(client_bucket="198.51.100.2")
    await outbox.accept(first, None, rules())
    other = callback(client_bucket=OTHER_VISITOR)
    await outbox.accept(other, None, rules())
    update_columns(outbox, first.id, status="failed", due_at=None)
    await outbox.accept(second, None, rules())
    assert (await outbox.accept(other, None, rules())).id == other.id
    await outbox.cancel(other.id, NOW)
    assert await outbox.waiting() == 0, "it resolves to the second one"


async def test_an_id_that_was_an_alias_resolves_to_its_own_callback(outbox: InspectableOutbox) -> None:
    first, other = callback(), callback(client_bucket=OTHER_VISITOR)
    await outbox.accept(first, None, rules())
    await outbox.accept(other, None, rules())
    update_columns(outbox, first.id, status="failed", due_at=None)
    await outbox.accept(other, None, rules())  # as a retry after a lost commit reply
    await outbox.cancel(other.id, NOW)
    current = await outbox.callback_status(other.id)
    assert current is not None
    assert current.status == "cancelled"
