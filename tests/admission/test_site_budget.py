"""The budget of a site: what rings in any window, whatever was asked for when, and half of it for one network."""

import asyncio
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from app.admission.admission_queries import has_room
from app.admission.admission_request import BudgetUsage
from app.admission.decide import decide
from app.errors import ServiceError
from app.outbox.callback import Status
from app.outbox.rings import Ring
from tests.admission.deciding import (
    API_KEY,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    OTHER_ADDRESS,
    StoredRing,
    config,
    request,
    result,
    results,
    snapshot,
    stored,
)
from tests.databases import PostgreSQL
from tests.outbox.factories import InspectableOutbox, callback, from_address, limits, store, store_sent, update_columns

NETWORK = "203.0.113.0/24"
RINGS = NOW + 6 * DAY


def phone(number: int) -> str:
    return f"7916{number:07}"


def rings(*minutes: float, at: datetime = NOW, network: str | None = None, site: str = "shop") -> list[StoredRing]:
    return [StoredRing(at + one * MINUTE, network, site) for one in minutes]


def outcome(*minutes: float, at: datetime = NOW, limit: str = "3/hour", **changes: Any) -> str:
    """Decide a request that rings at a time, at a site with rings that many minutes from then."""
    planned = {} if at == NOW else {"planned_time": at}
    return result(
        decide(request(**planned | changes), snapshot(rings=rings(*minutes, at=at)), config({"per_site": limit}))
    )


@pytest.mark.parametrize("at", [NOW, RINGS], ids=["at once", "planned"])
@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ((-30, -20), "queued"),
        ((-30, -20, -10), "held for site_budget"),
        ((10, 20, 30), "held for site_budget"),
        ((-50, -40, 40), "queued"),  # no window of an hour contains all of them
        ((-50, -40, 9), "held for site_budget"),
        ((-50, -40, 10), "queued"),
        ((0, 0, 0), "held for site_budget"),
        ((-60, -59, -58), "queued"),
        ((-59.9, -59, -58), "held for site_budget"),
        ((60, 59, 58), "queued"),
        ((59.9, 59, 58), "held for site_budget"),
    ],
)
def test_no_window_around_a_ring_holds_more_than_the_budget(
    minutes: tuple[float, ...], expected: str, at: datetime
) -> None:
    assert outcome(*minutes, at=at) == expected


def test_each_of_several_limits_counts() -> None:
    hours = [-60.0 * hour for hour in range(1, 6)]
    assert outcome(*hours, limit="3/hour;5/day") == "held for site_budget"
    assert outcome(*hours[1:], limit="3/hour;5/day") == "queued"
    assert outcome(-1, -2, -3, limit="3/hour;5/day") == "held for site_budget"


def test_rings_of_other_sites_do_not_count() -> None:
    found = snapshot(rings=rings(-1, -2, -3, site="blog"))
    assert results([request()], found, config({"per_site": "3/hour"})) == ["queued"]


def test_the_rings_of_a_batch_count_for_the_next_of_its_requests() -> None:
    found = snapshot(rings=rings(-1))
    some = [request(client_phone=phone(number)) for number in range(3)]
    assert results(some, found, config({"per_site": "3/hour"})) == ["queued", "queued", "held for site_budget"]


def test_what_does_not_ring_uses_up_no_room() -> None:
    some = [
        request(client_phone=phone(1)),
        request(client_phone=phone(1)),
        request(client_phone=phone(2), held_for="honeypot"),
        request(client_phone=phone(3), address_blocked=True),
        request(client_phone=phone(4)),
    ]
    expected = ["queued", "duplicate", "held for honeypot", "blocked", "queued"]
    assert results(some, snapshot(), config({"per_site": "2/hour"})) == expected


def test_a_request_counts_when_it_rings_and_not_when_it_is_sent() -> None:
    found, rules = snapshot(), config({"per_site": "2/hour"})
    planned = [request(client_phone=phone(number), planned_time=RINGS) for number in range(3)]
    assert results(planned, found, rules) == ["queued", "queued", "held for site_budget"]
    assert results([request(client_phone=phone(9))], found, rules) == ["queued"]


@pytest.mark.parametrize(
    ("network", "share", "expected"),
    [
        (NETWORK, 4, "queued"),
        (NETWORK, 5, "held for site_budget"),
        ("198.51.100.0/24", 9, "queued"),
        (None, 9, "queued"),
    ],
)
def test_one_network_may_use_half_of_the_budget(network: str | None, share: int, expected: str) -> None:
    found = snapshot(rings=rings(*range(-share, 0), network=network))
    assert results([request("203.0.113.99")], found, config({"per_site": "10/hour"})) == [expected]


def test_the_network_of_an_ipv6_address_is_its_48() -> None:
    rules = config({"per_site": "10/hour"})
    some = [request(f"2001:db8:0:{number:x}00::1", client_phone=phone(number)) for number in range(6)]
    assert results(some, snapshot(), rules) == ["queued"] * 5 + ["held for site_budget"]


def test_a_network_may_always_ring_once() -> None:
    rules = config({"per_site": "1/hour"})
    assert results([request(OTHER_ADDRESS)], snapshot(), rules) == ["queued"]


def test_an_api_key_may_use_all_of_the_budget() -> None:
    rules = config({"per_site": "10/hour"})
    some = [request(api_key=API_KEY, client_phone=phone(number)) for number in range(11)]
    assert results(some, snapshot(), rules) == ["queued"] * 10 + ["quota_site"]


def test_a_warning_is_due_from_80_and_from_100_percent_on() -> None:
    rules = config({"per_site": "10/day;9/month"})
    found, percents = snapshot(), []
    for number in range(9):
        usage = decide(request(client_phone=phone(number)), found, rules).budget
        percents.append([(one.limit.text, one.percent) for one in usage])
    day, month = (one.text for one in limits("10/day;9/month"))
    assert percents == [[]] * 7 + [[(day, 80), (month, 80)], [(day, 80), (month, 80), (month, 100)]]
    (first, *_) = decide(request(client_phone=phone(99)), snapshot(), config({"per_site": "1/day"})).budget
    assert first == BudgetUsage("shop", limits("1/day")[0], 80, NOW)


def test_a_warning_counts_the_rings_of_the_window_only() -> None:
    found, rules = snapshot(), config({"per_site": "5/hour"})
    for number in range(3):
        assert decide(request(client_phone=phone(number)), found, rules).budget == ()
    assert decide(request(client_phone=phone(8), planned_time=RINGS), found, rules).budget == ()
    assert [one.percent for one in decide(request(client_phone=phone(9)), found, rules).budget] == [80]


@pytest.mark.parametrize("changes", [{"held_for": "honeypot"}, {"address_blocked": True}, {}])
def test_no_warning_is_due_for_what_does_not_ring(changes: dict[str, Any]) -> None:
    decision = decide(request(**changes), snapshot(stored()), config({"per_site": "1/hour"}))
    assert decision.budget == ()


async def send(outbox: InspectableOutbox, rules: Any, address: str = OTHER_ADDRESS, **changes: Any) -> str:
    """Admit a request, and return its true status or the code of its refusal."""
    made = callback(**changes) if changes.get("api_key") else from_address(address, **changes)
    try:
        answer = await outbox.admit(made, None, rules)
    except ServiceError as refusal:
        return str(refusal.code)
    found = await outbox.callback_status(answer.id)
    assert found is not None
    return str(found.status)


async def test_the_stored_rings_of_a_site_count_on_both_sides(outbox: InspectableOutbox) -> None:
    rules = config({"per_site": "3/hour"})

    async def planned(number: int, minutes: float, **changes: Any) -> str:
        at = {"planned_time": RINGS + minutes * MINUTE, "client_phone": phone(number)}
        return await send(outbox, rules, api_key=API_KEY, **at | changes)

    assert [await planned(number, minutes) for number, minutes in enumerate((-50, -40, 40))] == ["queued"] * 3
    assert await planned(4, 0) == "queued", "three in the hour up to it, two in the hour after"
    assert await planned(5, 0) == "quota_site"
    assert await planned(6, 0, site="blog") == "queued"
    assert await send(outbox, rules) == "queued", "now is another hour"


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (Status.QUEUED, True),
        (Status.SENDING, True),
        (Status.PLACED, True),
        (Status.UNKNOWN, True),
        (Status.FAILED, False),
        (Status.CANCELLED, False),
        (Status.HELD, False),
        (Status.DUPLICATE, False),
    ],
)
async def test_only_what_rings_or_may_have_rung_counts(
    outbox: InspectableOutbox, status: Status, *, counts: bool
) -> None:
    (other,) = await store(outbox, callback(client_phone=phone(1)))
    update_columns(outbox, other, status=status)
    assert await send(outbox, config({"per_site": "1/hour"})) == ("held" if counts else "queued")


async def test_a_callback_counts_at_the_time_of_its_last_call(outbox: InspectableOutbox) -> None:
    await store_sent(outbox, callback(client_phone=phone(1)), rings_at=NOW - HOUR)
    assert await send(outbox, config({"per_site": "1/hour"})) == "queued"


@pytest.mark.parametrize("network", ["203.0.113.{}", "2001:db8:0:{}00::1"])
async def test_the_stored_rings_of_one_network_use_half_of_the_budget(outbox: InspectableOutbox, network: str) -> None:
    rules = config({"per_site": "6/hour"})
    for n in range(10, 13):
        assert await send(outbox, rules, network.format(n), client_phone=phone(n), site="blog") == "queued"
    statuses = [await send(outbox, rules, network.format(n), client_phone=phone(n)) for n in range(1, 5)]
    assert statuses == ["queued"] * 3 + ["held"]
    others = [await send(outbox, rules, f"192.0.2.{n}", client_phone=phone(90 + n)) for n in range(1, 4)]
    assert others == ["queued"] * 3
    assert await send(outbox, rules, client_phone=phone(99)) == "held"
    assert await send(outbox, rules, client_phone=phone(99), api_key=API_KEY) == "quota_site"


async def test_a_budget_is_exact_over_concurrent_requests_to_two_processes(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    rules = config({"per_site": "7/hour"})
    statuses = await asyncio.gather(
        *(send(both[number % 2], rules, f"198.51.{number}.1", client_phone=phone(number)) for number in range(100))
    )
    assert statuses.count("queued") == 7
    for outbox in both:
        outbox.close()


@pytest.mark.parametrize(
    ("ages", "expected"),
    [((0, 30), True), ((0, 30, 59), False), ((0, 30, 60), True), ((10, 20, 30), False)],
)
async def test_a_site_over_its_budget_has_no_room(
    outbox: InspectableOutbox, ages: tuple[int, ...], *, expected: bool
) -> None:
    for number, age in enumerate(ages):
        await store(outbox, callback(client_phone=phone(number), created_at=NOW - age * MINUTE))

    async def room(site: str, per_site: str) -> bool:
        ask = partial(has_room, site=site, ring=Ring(NOW, NOW), now=NOW, config=config({"per_site": per_site}))
        return await outbox.read(ask)

    assert await room("shop", "3/hour") is expected
    assert await room("blog", "3/hour") is True
    assert await room("shop", "9/hour;3/day") is (len(ages) < 3)
