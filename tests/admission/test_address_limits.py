"""The limits of an address at a site: the longest one refuses, shorter ones hold; wide IPv6 networks get a multiple."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from app.admission.address_limits import PHONES_A_MINUTE
from app.admission.admission_request import AdmissionConfig
from app.admission.decide import decide
from app.admission.snapshot import BUCKETS, MAX_CLOCK_SKEW
from app.errors import ServiceError
from app.net.client_address import buckets
from app.outbox.callback import Callback, Status
from tests.admission.deciding import (
    API_KEY,
    DAY,
    FREE,
    HOUR,
    KEY,
    MINUTE,
    NOW,
    OTHER_ADDRESS,
    PHONE,
    SECOND,
    config,
    refused,
    request,
    result,
    results,
    snapshot,
    stored,
)
from tests.databases import PostgreSQL
from tests.outbox.factories import InspectableOutbox, from_address

ADDRESS = "203.0.113.7"
MICROSECOND = timedelta(microseconds=1)
KINDS = ("per_address", "per_address_phones")
CODES = {"per_address": "quota_client", "per_address_phones": "quota_client_phones"}


def phone(number: int) -> str:
    return f"7916{number:07}"


def earlier(*ages: timedelta, address: str = ADDRESS, **changes: Any) -> list[Callback]:
    """Return requests of an address that long before `NOW`, each for another phone."""
    return [
        from_address(address, **{"created_at": NOW - age, "client_phone": phone(number)} | changes)
        for number, age in enumerate(ages)
    ]


def mine(address: str = ADDRESS, number: int = 999, **changes: Any) -> Any:
    return request(address, **{"client_phone": phone(number)} | changes)


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_limit_refuses_and_tells_the_exact_wait(kind: str) -> None:
    found = snapshot(requests=earlier(50 * MINUTE, 40 * MINUTE, 30 * MINUTE))
    refusal = refused(decide(mine(), found, config({kind: "3/hour"})))
    assert (refusal.code, refusal.status, refusal.retry_after) == (CODES[kind], 429, (10 * MINUTE).total_seconds())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("oldest", "expected"), [(HOUR - MICROSECOND, "refused"), (HOUR, "queued"), (2 * HOUR, "queued")]
)
def test_a_request_leaves_the_window_after_exactly_its_length(kind: str, oldest: timedelta, expected: str) -> None:
    found = snapshot(requests=earlier(oldest, 40 * MINUTE, 30 * MINUTE))
    assert result(decide(mine(), found, config({kind: "3/hour"}))) == expected.replace("refused", CODES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_requests_up_to_the_limit_are_accepted(kind: str) -> None:
    found = snapshot()
    some = [mine(number=number) for number in range(4)]
    assert results(some, found, config({kind: "3/hour"})) == ["queued"] * 3 + [CODES[kind]]


@pytest.mark.parametrize("kind", KINDS)
def test_shorter_limits_hold_the_request_as_a_burst(kind: str) -> None:
    """An office may share an address, so an operator decides."""
    rules = config({kind: "2/minute;5/hour"})
    found = snapshot(requests=earlier(30 * SECOND, 20 * SECOND))
    assert result(decide(mine(), found, rules)) == "held for burst"
    found = snapshot(requests=earlier(HOUR - SECOND, 40 * MINUTE, 30 * SECOND, 20 * SECOND, 10 * SECOND))
    refusal = refused(decide(mine(), found, rules))
    assert (refusal.code, refusal.retry_after) == (CODES[kind], 1), "the longest refuses, whatever else is reached"


@pytest.mark.parametrize("text", ["2/minute;5/hour", "5/hour;2/minute"])
def test_the_longest_limit_is_the_longest_in_whatever_order_they_are_written(text: str) -> None:
    found = snapshot(requests=earlier(30 * SECOND, 20 * SECOND))
    assert result(decide(mine(), found, config({"per_address": text}))) == "held for burst"


def test_a_held_burst_uses_up_no_room_of_its_address() -> None:
    rules = config({"per_address": "2/minute;5/hour"})
    found = snapshot(requests=earlier(40 * MINUTE, 30 * SECOND, 20 * SECOND))
    assert results([mine(number=100 + number) for number in range(9)], found, rules) == ["held for burst"] * 9


def test_the_number_of_phones_counts_each_of_them_once() -> None:
    rules = config({"per_address_phones": "2/hour"})
    three_times = [
        *earlier(40 * MINUTE, 39 * MINUTE, client_phone=phone(1)),
        *earlier(20 * MINUTE, client_phone=phone(2)),
    ]
    found = snapshot(requests=three_times)
    assert [result(decide(mine(number=number), found, rules)) for number in (1, 2)] == ["queued", "queued"]
    refusal = refused(decide(mine(number=3), snapshot(requests=three_times), rules))
    assert (refusal.code, refusal.retry_after) == ("quota_client_phones", (21 * MINUTE).total_seconds()), (
        "until the phone leaves that was asked for last longest ago"
    )


def test_the_same_phone_counts_as_often_as_it_is_asked_for_in_the_other_limit() -> None:
    found = snapshot(requests=earlier(3 * MINUTE, 2 * MINUTE, client_phone=PHONE))
    assert result(decide(request(ADDRESS), found, config({"per_address": "2/hour"}))) == "quota_client"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "others",
    [
        earlier(MINUTE, 2 * MINUTE, address=OTHER_ADDRESS),
        earlier(MINUTE, 2 * MINUTE, address="203.0.113.8"),
        earlier(MINUTE, 2 * MINUTE, site="blog"),
        earlier(MINUTE, 2 * MINUTE, api_key=API_KEY, client_bucket=None),
    ],
    ids=["address", "neighbour", "site", "API key"],
)
def test_requests_of_another_address_at_another_site_or_with_an_api_key_do_not_count(
    kind: str, others: Iterable[Callback]
) -> None:
    assert result(decide(mine(), snapshot(requests=others), config({kind: "2/hour"}))) == "queued"


def test_a_request_with_an_api_key_has_no_address() -> None:
    rules = config({"per_address": "1/hour", "per_address_phones": "1/hour"})
    some = [request(api_key=API_KEY, client_phone=phone(number)) for number in range(30)]
    assert results(some, snapshot(), rules) == ["queued"] * 30


def test_a_duplicate_counts_for_its_sender() -> None:
    found = snapshot(stored())
    some = [request(ADDRESS), request(ADDRESS), mine()]
    assert results(some, found, config({"per_address": "2/hour"})) == ["duplicate", "duplicate", "quota_client"]


def test_a_replay_counts_once() -> None:
    some = [request(ADDRESS, key=KEY), request(ADDRESS, key=KEY), mine(), mine()]
    assert results(some, snapshot(), config({"per_address": "2/hour"}))[1:] == ["replayed", "queued", "quota_client"]


def test_each_bucket_of_the_edge_has_a_column() -> None:
    edge = [bucket.key.partition("/")[2] for bucket in buckets(ip_address("2001:db8::1"))]
    assert edge == [name.removeprefix("client_bucket").lstrip("_") or "64" for name, _ in BUCKETS]
    assert [times for _, times in BUCKETS] == [1, 2, 4]


NETWORKS = {
    "/64": ("2001:db8::{:x}", 1),
    "/56": ("2001:db8:0:{:x}::1", 2),  # a /64 each
    "/48": ("2001:db8:0:{:x}00::1", 4),  # a /56 each
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("network", "times"), NETWORKS.values(), ids=NETWORKS)
def test_a_wide_network_gets_exactly_its_multiple_of_the_limit(network: str, times: int, kind: str) -> None:
    found, rules = snapshot(), config({kind: "3/hour"})
    some = [mine(network.format(number), number) for number in range(1, 3 * times + 2)]
    assert results(some, found, rules) == ["queued"] * 3 * times + [CODES[kind]]
    assert results([mine("2001:db8:1::1")], found, rules) == ["queued"], "another /48"


@pytest.mark.parametrize(("network", "times"), NETWORKS.values(), ids=NETWORKS)
def test_a_wide_network_is_held_at_its_multiple_of_a_shorter_limit(network: str, times: int) -> None:
    rules = config({"per_address": f"2/minute;{FREE}"})
    some = [mine(network.format(number), number) for number in range(1, 2 * times + 2)]
    assert results(some, snapshot(), rules) == ["queued"] * 2 * times + ["held for burst"]


@pytest.mark.parametrize(("network", "times"), {"/32": (ADDRESS, 1), **NETWORKS}.values(), ids=["/32", *NETWORKS])
def test_twenty_phones_a_minute_of_one_address_are_a_burst_over_all_sites(network: str, times: int) -> None:
    assert PHONES_A_MINUTE == 20
    count = PHONES_A_MINUTE * times
    some = [mine(network.format(number), number, site=f"shop-{number % 7}") for number in range(1, count + 2)]
    assert results(some, snapshot(), config()) == ["queued"] * count + ["held for burst"]


def test_a_phone_that_was_asked_for_in_the_minute_is_no_new_one() -> None:
    twenty = earlier(*[MINUTE - SECOND] * PHONES_A_MINUTE)
    assert result(decide(mine(number=7), snapshot(requests=twenty), config())) == "queued"
    assert result(decide(mine(), snapshot(requests=twenty), config())) == "held for burst"


def test_a_phone_leaves_the_minute() -> None:
    found = snapshot(requests=earlier(MINUTE, *[MINUTE - SECOND] * (PHONES_A_MINUTE - 1)))
    assert result(decide(mine(), found, config())) == "queued"


async def send(outbox: InspectableOutbox, rules: AdmissionConfig, address: str = ADDRESS, **changes: Any) -> str:
    """Admit a request, and return "accepted" or the refusal and its wait."""
    try:
        await outbox.admit(from_address(address, **changes), None, rules)
    except ServiceError as refusal:
        return f"{refusal.code} for {refusal.retry_after:.0f} s"
    return "accepted"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stored_limit_counts_over_a_sliding_window(outbox: InspectableOutbox, kind: str) -> None:
    three = config({kind: "3/hour"})

    async def after(minutes: int, number: int, **changes: Any) -> str:
        return await send(outbox, three, created_at=NOW + minutes * MINUTE, client_phone=phone(number), **changes)

    assert [await after(minutes, minutes) for minutes in (0, 10, 20)] == ["accepted"] * 3
    assert await after(30, 30) == f"{CODES[kind]} for 1800 s"
    assert await outbox.waiting() == 3, "a refused request leaves nothing behind"
    assert await after(31, 31, address=OTHER_ADDRESS) == "accepted"
    assert await after(31, 31, site="blog") == "accepted"
    assert await after(60, 60) == "accepted"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("network", "times"), NETWORKS.values(), ids=NETWORKS)
async def test_stored_requests_of_a_wide_network_count(
    outbox: InspectableOutbox, network: str, times: int, kind: str
) -> None:
    three = config({kind: "3/hour"})
    answers = [
        await send(outbox, three, network.format(number), client_phone=phone(number))
        for number in range(1, 3 * times + 2)
    ]
    assert answers == ["accepted"] * 3 * times + [f"{CODES[kind]} for 3600 s"]
    assert await send(outbox, three, "2001:db8:1::1", client_phone=phone(999)) == "accepted", "another /48"


async def test_stored_requests_to_other_sites_count_within_a_minute(outbox: InspectableOutbox) -> None:
    for number in range(PHONES_A_MINUTE):
        await send(outbox, config(), site=f"shop-{number}", client_phone=phone(number))
    late, soon = NOW + MINUTE, NOW + MINUTE - SECOND
    await send(outbox, config(), client_phone=phone(99), created_at=late)
    await send(outbox, config(), client_phone=phone(98), created_at=soon)
    assert (await outbox.queue_stats())[Status.HELD].count == 1


async def test_held_requests_and_duplicates_are_stored_where_they_count(outbox: InspectableOutbox) -> None:
    two = config({"per_address": "2/hour"})
    assert [await send(outbox, two, client_phone=phone(n), held_for="honeypot") for n in range(9)] == ["accepted"] * 9
    assert [await send(outbox, two) for _ in range(2)] == ["accepted"] * 2
    assert await send(outbox, two) == "quota_client for 3600 s"


@pytest.mark.parametrize("back", [HOUR, DAY, 400 * DAY])
async def test_requests_from_a_clock_that_ran_ahead_do_not_count(outbox: InspectableOutbox, back: timedelta) -> None:
    """Otherwise the clock set back would lock the address until it has caught up."""
    one = config({"per_address": "1/hour", "per_address_phones": "1/hour"})
    assert await send(outbox, one) == "accepted"
    assert await send(outbox, one, created_at=NOW - back, client_phone=phone(1)) == "accepted"
    assert await send(outbox, one, created_at=NOW - back + SECOND, client_phone=phone(2)) == "quota_client for 3599 s"


async def test_the_clocks_of_replicas_may_differ_by_a_minute(outbox: InspectableOutbox) -> None:
    one = config({"per_address": "1/hour"})
    assert await send(outbox, one, created_at=NOW + MAX_CLOCK_SKEW) == "accepted"
    assert await send(outbox, one, client_phone=phone(1)) == "quota_client for 3600 s", "no longer than the window"


async def test_a_network_is_counted_exactly_over_concurrent_requests_to_two_processes(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    two = config({"per_address": "2/hour"})
    answers = await asyncio.gather(
        *(
            send(both[number % 2], two, f"2001:db8:0:{number:x}::1", client_phone=phone(number))
            for number in range(1, 101)
        )
    )
    assert answers.count("accepted") == 4
    for outbox in both:
        outbox.close()


async def test_an_address_is_counted_exactly_over_all_sites_by_two_processes(postgresql: PostgreSQL) -> None:
    """The requests have nothing but their address in common, so the address itself is locked."""
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    await asyncio.gather(
        *(send(both[n % 2], config(), site=f"s-{n}", client_phone=phone(n)) for n in range(2 * PHONES_A_MINUTE))
    )
    assert await both[0].waiting() == PHONES_A_MINUTE
    for outbox in both:
        outbox.close()
