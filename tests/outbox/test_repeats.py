"""What was answered is answered again, and no stranger is told what others have asked for; on both databases."""

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
from tests.outbox.factories import NOW, InspectableOutbox, become, callback, from_address, rules, send

KEY = RequestKey("site:shop", "wish-1", "a" * 64)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
STRANGER = "198.51.100.1"
WIDE = tuple(parse_many("999/hour"))
OPENS = NOW + 10 * HOUR
TAKES = 2 * SECOND
"""How long it takes until Chaser has a call."""


async def test_a_strangers_duplicate_whose_commit_got_lost_is_answered_as_the_first_time(outbox: Outbox) -> None:
    await outbox.accept(callback(), None, rules())
    stranger = callback(client_bucket=STRANGER)
    first = await outbox.accept(stranger, None, rules())
    assert await outbox.accept(stranger, None, rules()) == first
    assert (first.id, first.duplicate) == (stranger.id, False)
    assert await outbox.waiting() == 1


@pytest.mark.parametrize("late", [timedelta(seconds=30), timedelta(minutes=30)])
async def test_a_stranger_asking_for_the_same_number_is_not_told_so_and_nobody_is_phoned_twice(
    outbox: Outbox, late: timedelta
) -> None:
    first = await outbox.accept(callback(), None, rules())
    asked_at = NOW + late
    stranger = callback(created_at=asked_at, call_expected_at=asked_at, client_bucket=STRANGER)
    answer = await outbox.accept(stranger, KEY, rules())
    assert (answer.id, answer.created_at, answer.call_expected_at) == (stranger.id, asked_at, asked_at)
    assert (answer.status, answer.duplicate) == ("queued", False)
    assert await outbox.waiting() == 1
    glimpse = await outbox.callback_status(answer.id)
    assert glimpse is not None
    assert (glimpse.id, glimpse.status) == (stranger.id, "queued")
    assert glimpse.call_expected_at == asked_at, "the time of the one that stands would tell of it"
    again = await outbox.accept(callback(created_at=NOW + HOUR, client_bucket=STRANGER), KEY, rules())
    assert again == replace(answer, replayed=True)
    assert first.id != answer.id


async def test_a_stranger_who_asks_twice_is_answered_as_with_any_number(outbox: InspectableOutbox) -> None:
    first = await outbox.accept(callback(), None, rules())
    send(outbox, first.id)
    stranger = callback(client_bucket=STRANGER, created_at=NOW + 100 * SECOND)
    alias = await outbox.accept(stranger, None, rules())
    again = await outbox.accept(callback(client_bucket=STRANGER, created_at=NOW + 200 * SECOND), None, rules())
    assert again == replace(alias, status=Status.PLACED, duplicate=True), "within the window of his own request"
    third = callback(client_bucket=STRANGER, created_at=NOW + 300 * SECOND)
    assert (await outbox.accept(third, None, rules())).id == third.id


@pytest.mark.parametrize(
    "terms",
    [Quotas(WIDE, tuple(parse_many("2/hour")), WIDE, WIDE), Quotas(WIDE, WIDE, tuple(parse_many("2/hour")), WIDE)],
)
@pytest.mark.parametrize(
    "addresses",
    [["198.51.100.1"] * 3, [f"2001:db8:0:{n:x}::1" for n in range(5)], [f"2001:db8:0:{n:x}00::1" for n in range(9)]],
)
async def test_a_strangers_duplicate_counts_in_his_quotas(outbox: Outbox, terms: Quotas, addresses: list[str]) -> None:
    *within, beyond = addresses
    for number, address in enumerate(addresses):
        await outbox.accept(callback(client_phone=f"7916{number:07}"), None, rules())
        if address != beyond or number < len(within):
            await outbox.accept(from_address(address, client_phone=f"7916{number:07}"), None, rules(terms))
    with pytest.raises(TooManyRequestsError) as refused:
        await outbox.accept(from_address(beyond, client_phone="79169999999"), None, rules(terms))
    assert (refused.value.code.startswith("quota_client"), refused.value.retry_after) == (True, 3600)


def deliver(outbox: InspectableOutbox, now: datetime) -> None:
    """Let Chaser have every call that is as old as that takes."""
    done = (callbacks.c.status == Status.QUEUED) & (callbacks.c.created_at <= now - TAKES)
    taken = {"status": Status.PLACED, "due_at": None, "updated_at": callbacks.c.created_at + _interval(TAKES)}
    outbox.execute(update(callbacks).where(done).values(taken))


def _interval(length: timedelta) -> Any:
    return literal(NOW + length, Instant()) - literal(NOW, Instant())


class Stranger:
    """Asks one site for numbers, and notes all that he is told."""

    def __init__(self, outbox: Outbox, site: str, network: str, *, night: bool) -> None:
        self.told: list[Any] = []
        self._outbox, self._site, self._network, self._night = outbox, site, network, night
        self._ids: list[str] = []

    def asks(self, number: int, now: datetime, *, host: int = 1, **changes: Any) -> Any:
        wait = (
            {"nwt_action": "always_call", "call_stack_interval": 10, "call_expected_at": OPENS} if self._night else {}
        )
        phone = f"79{'1' if self._site == 'known' else '2'}6{number:07}"
        return from_address(
            f"{self._network}{host:x}::1", site=self._site, client_phone=phone, created_at=now, **wait | changes
        )

    async def ask(self, number: int, now: datetime, **changes: Any) -> None:
        terms = rules(Quotas(WIDE, tuple(parse_many("6/hour")), tuple(parse_many("3/hour")), WIDE))
        key = RequestKey(self._site, f"{len(self.told)}", "")
        try:
            answer = await self._outbox.accept(self.asks(number, now, **changes), key, terms)
        except TooManyRequestsError as refused:
            self.told.append((refused.code, refused.retry_after))
            return
        if answer.id not in self._ids:
            self._ids.append(answer.id)
        which = self._ids.index(answer.id)
        self.told.append((which, answer.status, answer.created_at, answer.call_expected_at, answer.duplicate))

    async def look(self, now: datetime) -> None:
        for callback_id in self._ids:
            seen = await self._outbox.callback_status(callback_id, now)
            assert seen is not None
            self.told.append((public_status(seen.status), seen.call_expected_at))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("night", [False, True], ids=["by day", "at night"])
async def test_whatever_a_stranger_asks_known_and_unknown_numbers_are_answered_alike(
    outbox: InspectableOutbox, seed: int, *, night: bool
) -> None:
    """He counts as he likes, too. Only the cap of a number itself can't be hidden, and is wide here."""
    chance = random.Random(seed)
    at_known = Stranger(outbox, "known", "2001:db8:1:", night=night)
    at_unknown = Stranger(outbox, "unknown", "2001:db8:2:", night=night)
    for number in range(5):
        asked_at = NOW - chance.randrange(1, 119) * SECOND
        await outbox.accept(at_known.asks(number, asked_at, host=0xFF00 + number), None, rules())
        # At the other site others have asked for others, so that its night is as long.
        await outbox.accept(at_unknown.asks(100 + number, asked_at, host=0xFF00 + number), None, rules())
    now = NOW
    for _ in range(60):
        now += timedelta(seconds=chance.choice([0, 0.5, 1, 30, 100, 600]))
        deliver(outbox, now)
        number, others = chance.randrange(5), chance.randrange(5) if chance.random() < 0.2 else None
        changes = {"hold": "honeypot"} if chance.random() < 0.1 else {}
        for stranger in (at_known, at_unknown):
            if others is not None:
                await outbox.accept(stranger.asks(others, now, host=0xFFFF), None, rules())
            await stranger.ask(number, now, **changes)
            await stranger.look(now)
    assert at_known.told == at_unknown.told
    assert {"quota_client", "quota_client_phones"} & {each[0] for each in at_known.told}, "he came to his limits"


async def test_whoever_may_know_is_told_at_once_what_became_of_an_alias(outbox: InspectableOutbox) -> None:
    await outbox.accept(callback(), None, rules())
    deliver(outbox, NOW + TAKES)
    stranger = callback(client_bucket=STRANGER, created_at=NOW + 10 * SECOND)
    await outbox.accept(stranger, None, rules())
    seen = [
        await outbox.callback_status(stranger.id, now)
        for now in (stranger.created_at, stranger.created_at + TAKES, None)
    ]
    assert [glimpse and glimpse.status for glimpse in seen] == ["queued", "placed", "placed"]


async def test_an_alias_is_told_the_truth_after_a_minute(outbox: Outbox) -> None:
    """However long it took with the callback that stands."""
    first = callback(planned_time=NOW + HOUR)
    await outbox.accept(first, None, rules())
    stranger = callback(client_bucket=STRANGER, planned_time=NOW + HOUR, created_at=NOW + 30 * timedelta(minutes=1))
    await outbox.accept(stranger, None, rules())
    await outbox.cancel(first.id, NOW + 30 * timedelta(minutes=1))
    seen = [await outbox.callback_status(stranger.id, stranger.created_at + seconds * SECOND) for seconds in (59, 60)]
    assert [glimpse and glimpse.status for glimpse in seen] == ["queued", "cancelled"]


async def test_an_alias_of_a_cancelled_call_leaves_its_place_in_the_night(outbox: Outbox) -> None:
    here = Stranger(outbox, "known", "2001:db8:1:", night=True)
    first = here.asks(1, NOW, host=2)
    await outbox.accept(first, None, rules())
    await here.ask(1, NOW)
    assert await outbox.next_place("known", OPENS) == 2
    await outbox.cancel(first.id, NOW)
    assert await outbox.next_place("known", OPENS) == 0


async def test_an_alias_counts_no_longer_than_a_window_when_the_clock_is_set_back(outbox: Outbox) -> None:
    one = rules(Quotas(WIDE, tuple(parse_many("1/hour")), WIDE, WIDE))
    await outbox.accept(callback(planned_time=NOW + 30 * HOUR), None, rules())
    await outbox.expire(NOW + HOUR)
    stranger = callback(planned_time=NOW + 30 * HOUR, created_at=NOW + HOUR, client_bucket=STRANGER)
    assert (await outbox.accept(stranger, None, one)).id == stranger.id
    back = callback(client_phone="79160000002", client_bucket=STRANGER, created_at=NOW - 5 * HOUR)
    with pytest.raises(TooManyRequestsError) as refused:
        await outbox.accept(back, None, one)
    assert refused.value.retry_after == 3600
    for hours in (4, 6):  # the second one when the clock has come by the time it showed before
        later = replace(
            back, id=str(hours), client_phone=f"7916000000{hours}", created_at=NOW - 5 * HOUR + hours * HOUR
        )
        await outbox.accept(later, None, one)


@pytest.mark.parametrize("bucket", ["203.0.113.7", STRANGER])
async def test_repeats_of_one_callback_have_an_end_for_an_hour(outbox: Outbox, bucket: str) -> None:
    planned = NOW + 30 * HOUR  # so it stands for long
    first = await outbox.accept(callback(planned_time=planned), None, rules())
    keys = [replace(KEY, key=f"wish-{number}") for number in range(2 * REPEATS)]
    repeats = [callback(client_bucket=bucket, planned_time=planned) for _ in keys]
    answers = await asyncio.gather(
        *(outbox.accept(again, key, rules()) for again, key in zip(repeats, keys, strict=True)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, TooManyRequestsError)]
    repeated = len(keys) - len(refused) - (bucket == STRANGER)  # whose first request is none
    assert repeated == REPEATS
    assert {(each.code, each.retry_after) for each in refused} == {("quota_client", 3600)}
    same = callback(client_bucket=bucket, planned_time=planned)
    assert (await outbox.accept(same, keys[0], rules())).replayed, "what was answered is answered again"
    services = callback(client_bucket=None, api_key="crm", planned_time=planned)
    assert (await outbox.accept(services, None, rules())).id == first.id, "a key is no visitor"
    later = callback(client_bucket=bucket, planned_time=planned, created_at=NOW + HOUR)
    assert (await outbox.accept(later, KEY, rules())).duplicate


@pytest.mark.parametrize("bucket", ["203.0.113.7", STRANGER])
async def test_repeating_a_request_does_not_put_off_the_end_of_its_window(
    outbox: InspectableOutbox, bucket: str
) -> None:
    send(outbox, (await outbox.accept(callback(), None, rules())).id)
    for seconds, key in ((10, "first"), (100, "second")):
        again = callback(client_bucket=bucket, created_at=NOW + seconds * SECOND)
        await outbox.accept(again, replace(KEY, key=key), rules())
    later = callback(client_bucket=bucket, created_at=NOW + 150 * SECOND)
    assert (await outbox.accept(later, replace(KEY, key="third"), rules())).id == later.id


async def test_what_others_repeat_bounds_nobody_else(outbox: Outbox) -> None:
    planned = NOW + 30 * HOUR
    for number in range(REPEATS + 1):
        await outbox.accept(callback(planned_time=planned), replace(KEY, key=f"wish-{number}"), rules())
    stranger = callback(client_bucket=STRANGER, planned_time=planned)
    assert (await outbox.accept(stranger, replace(KEY, key="first"), rules())).id == stranger.id


async def test_a_stranger_who_changes_his_mind_is_told_which_time_stands_as_with_any_number(outbox: Outbox) -> None:
    planned = {"planned_time": NOW + HOUR, "call_expected_at": NOW + HOUR}
    await outbox.accept(callback(**planned), None, rules())
    alias = await outbox.accept(callback(client_bucket=STRANGER, **planned), None, rules())
    again = await outbox.accept(callback(client_bucket=STRANGER, created_at=NOW + SECOND), None, rules())
    assert again == replace(alias, duplicate=True)


async def test_who_was_answered_with_an_older_call_is_answered_with_it_again_though_there_is_a_newer_one(
    outbox: InspectableOutbox,
) -> None:
    send(outbox, (await outbox.accept(callback(), None, rules())).id)
    alias = await outbox.accept(callback(client_bucket=STRANGER, created_at=NOW + 110 * SECOND), None, rules())
    newer = callback(client_bucket="198.51.100.2", created_at=NOW + 150 * SECOND)
    assert (await outbox.accept(newer, None, rules())).id == newer.id
    again = await outbox.accept(callback(client_bucket=STRANGER, created_at=NOW + 200 * SECOND), None, rules())
    assert (again.id, again.duplicate) == (alias.id, True)


async def test_an_alias_whose_commit_got_lost_leads_to_what_stands_when_its_work_runs_again(
    outbox: InspectableOutbox,
) -> None:
    first, second = callback(), callback(client_bucket="198.51.100.2")
    await outbox.accept(first, None, rules())
    stranger = callback(client_bucket=STRANGER)
    await outbox.accept(stranger, None, rules())
    become(outbox, first.id, status="failed", due_at=None)
    await outbox.accept(second, None, rules())
    assert (await outbox.accept(stranger, None, rules())).id == stranger.id
    await outbox.cancel(stranger.id, NOW)
    assert await outbox.waiting() == 0, "it leads to the second one"


async def test_a_callback_that_was_an_alias_before_is_meant_by_its_id(outbox: InspectableOutbox) -> None:
    first, stranger = callback(), callback(client_bucket=STRANGER)
    await outbox.accept(first, None, rules())
    await outbox.accept(stranger, None, rules())
    become(outbox, first.id, status="failed", due_at=None)
    await outbox.accept(stranger, None, rules())  # its commit got lost
    await outbox.cancel(stranger.id, NOW)
    glimpse = await outbox.callback_status(stranger.id)
    assert glimpse is not None
    assert glimpse.status == "cancelled"
