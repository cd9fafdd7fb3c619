"""A burst of numbers, or more than a site's budget, is held: it rings no phones and turns nobody away."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.admission.world import DAY, HOUR, NOW, OPEN, Shop, World, assert_refused, moscow, most_in, office, world
from tests.running import ORIGIN, phone
from tests.solving import solve

BURSTS = {"per_address": "20/minute;100/hour", "per_address_phones": "5/minute;60/hour"}


def held(here: World, reason: str) -> list[dict[str, Any]]:
    return [one for one in here.listed(status="held") if one["reason"] == one["held_for"] == reason]


def rung(here: World) -> list[str]:
    here.settle()
    return [call["client_phone"] for call in here.far_side.calls()]


def test_fifty_numbers_of_one_address_with_solved_challenges_do_not_ring_at_once(migrated_url: str) -> None:
    site = Shop(settings={"challenge": "on"})
    with world(migrated_url, {"shop": site}, now=datetime.now(UTC), quotas=BURSTS) as here:
        address = here.new_address()
        headers = {"origin": ORIGIN, "x-forwarded-for": address}
        numbers = [phone() for _ in range(50)]
        solutions = [solve(here.http, **{"x-forwarded-for": address}) for _ in numbers]
        here.clock.advance(seconds=5)
        answers = []
        for number, challenge in zip(numbers, solutions, strict=True):
            body = {"site": "shop", "client_phone": number, "challenge": challenge}
            answers.append(here.http.post("/v1/callbacks", json=body, headers=headers))
            here.clock.advance(milliseconds=40)
        assert {answer.status_code for answer in answers} == {202}
        assert sorted(rung(here)) == sorted(numbers[:5])
        assert [one["client_phone"] for one in reversed(held(here, "burst"))] == numbers[5:]


@pytest.mark.parametrize(
    ("seconds", "rings"),
    [
        pytest.param([0] * 50, 5, id="at once"),
        pytest.param([1] * 50, 5, id="one a second"),
        pytest.param([12] * 30, 30, id="one each 12 seconds"),
        pytest.param([0] * 10 + [61] + [0] * 10, 10, id="five, and five a minute later"),
        pytest.param([30] * 20, 20, id="slowly"),
    ],
)
def test_the_first_numbers_of_a_burst_ring_and_the_others_are_held(
    migrated_url: str, seconds: list[int], rings: int
) -> None:
    with world(migrated_url, quotas=BURSTS) as here:
        address = here.new_address()
        answers = []
        for pause in seconds:
            answers.append(here.ask(phone(), address))
            here.clock.advance(seconds=pause)
        assert {answer.status_code for answer in answers} == {202}
        assert len(rung(here)) == rings
        assert len(held(here, "burst")) == len(seconds) - rings


def test_a_burst_is_told_no_time_and_looks_queued(migrated_url: str) -> None:
    with world(migrated_url, {"shop": office(9)}, now=moscow(22, 22), quotas=BURSTS) as here:
        address = here.new_address()
        for _ in range(5):
            assert here.ask(phone(), address).json()["call_expected_at"] is not None
        answer = here.ask(phone(), address)
        assert answer.json() | {"id": None, "created_at": None} == {
            "id": None, "status": "queued", "created_at": None, "call_expected_at": None, "duplicate": False
        }  # fmt: skip
        here.later(minutes=10)
        assert here.shown(answer.json()["id"])["status"] == "queued"


def test_a_burst_of_one_address_holds_nobody_else(migrated_url: str) -> None:
    with world(migrated_url, {"shop": OPEN, "other": OPEN}, quotas=BURSTS) as here:
        address = here.new_address()
        for _ in range(30):
            here.accepted(phone(), address)
        others = [phone() for _ in range(6)]
        for number in others[:5]:
            here.accepted(number)
        here.accepted(others[5], address, site="other")  # the limits of an address count by site
        assert set(others) <= set(rung(here))


def test_one_number_is_no_burst(migrated_url: str) -> None:
    with world(migrated_url, quotas=BURSTS) as here:
        address, number = here.new_address(), phone()
        for _ in range(20):
            here.accepted(number, address)
        assert here.listed(status="held") == []
        assert len(here.rings(number)) == 1


@pytest.mark.parametrize(
    ("addresses", "rings"),
    [
        pytest.param([f"2001:db8:1:1::{host:x}" for host in range(1, 15)], 5, id="one /64"),
        pytest.param([f"2001:db8:1:{net:x}::1" for net in range(14)], 10, id="a /56 has twice the limit"),
        pytest.param([f"2001:db8:1:{net:x}00::1" for net in range(25)], 20, id="a /48 has four times the limit"),
        pytest.param([f"2001:db8:{net:x}::1" for net in range(1, 25)], 24, id="different /48"),
        pytest.param([f"::ffff:203.0.113.{7}"] * 8 + ["203.0.113.7"] * 2, 5, id="an IPv4 address in two notations"),
    ],
)
def test_the_networks_of_an_ipv6_address_are_counted_in_each_width(
    migrated_url: str, addresses: list[str], rings: int
) -> None:
    with world(migrated_url, quotas=BURSTS) as here:
        for address in addresses:
            here.accepted(phone(), address)
        assert len(rung(here)) == rings
        assert len(held(here, "burst")) == len(addresses) - rings


def test_twenty_numbers_a_minute_over_all_sites_are_a_burst(migrated_url: str) -> None:
    shops = {f"s{number}": OPEN for number in range(10)}
    with world(migrated_url, shops, quotas=BURSTS) as here:
        address = here.new_address()
        for number in range(40):
            here.accepted(phone(), address, site=f"s{number % 10}")
        assert len(rung(here)) == 20
        assert len(held(here, "burst")) == 20
        here.later(seconds=61)
        here.accepted(phone(), address, site="s0")
        assert len(rung(here)) == 21


@pytest.mark.parametrize(
    ("quotas", "code", "same_number"),
    [
        ({"per_address": "3/minute;6/hour"}, "quota_client", True),
        ({"per_address": "3/minute;6/hour"}, "quota_client", False),
        ({"per_address_phones": "3/minute;6/hour"}, "quota_client_phones", False),
        ({"per_address": "6/hour"}, "quota_client", True),
        ({"per_address_phones": "6/hour"}, "quota_client_phones", False),
    ],
)
def test_the_longest_window_of_an_address_refuses(
    migrated_url: str, quotas: dict[str, str], code: str, same_number: bool
) -> None:
    number = phone()
    with world(migrated_url, {"shop": OPEN, "other": OPEN}, quotas={"per_phone": "1000/day"} | quotas) as here:
        address = here.new_address()
        for _ in range(6):
            here.accepted(number if same_number else phone(), address)
            here.later(minutes=2)
        refused = here.ask(number if same_number else phone(), address)
        assert_refused(refused, code)
        assert refused.headers["retry-after"] == str(3600 - 12 * 60)
        here.accepted(phone())
        here.accepted(phone(), address, site="other")
        here.at(NOW + HOUR)
        here.accepted(phone(), address)


def test_services_are_no_burst(migrated_url: str) -> None:
    with world(migrated_url, quotas=BURSTS) as here:
        for _ in range(30):
            assert here.order(phone(), client_ip="198.51.100.7").status_code == 202
        assert len(rung(here)) == 30


def test_a_released_burst_rings(migrated_url: str) -> None:
    with world(migrated_url, quotas=BURSTS) as here:
        address = here.new_address()
        numbers = [phone() for _ in range(8)]
        for number in numbers:
            here.accepted(number, address)
        for one in held(here, "burst"):
            assert here.act(one["id"], "release").status_code == 200
        assert sorted(rung(here)) == numbers


@pytest.mark.parametrize(
    ("budget", "minutes", "window"),
    [("4/hour", 1, HOUR), ("4/hour", 10, HOUR), ("3/hour;5/day", 25, HOUR), ("5/day", 61, DAY), ("10/day", 100, DAY)],
)
def test_a_site_rings_no_more_phones_than_its_budget(migrated_url: str, budget: str, minutes: int, window: Any) -> None:
    with world(migrated_url, quotas={"per_site": budget}) as here:
        for _ in range(12):
            assert here.ask(phone()).status_code == 202
            here.later(minutes=minutes)
        here.settle()
        rings = [datetime.fromisoformat(call["ring_at"]) for call in here.far_side.calls()]
        amount = int(budget.split("/")[0]) if window == HOUR else int(budget.split(";")[-1].split("/")[0])
        assert most_in(window, sorted(rings)) == min(amount, len(rings))
        assert len(rings) + len(held(here, "site_budget")) == 12


def test_a_site_over_its_budget_shows_no_time_to_anybody_and_refuses_services(migrated_url: str) -> None:
    with world(migrated_url, {"shop": OPEN, "other": OPEN}, quotas={"per_site": "4/hour"}) as here:
        numbers = [phone() for _ in range(4)]
        for number in numbers:
            here.accepted(number)
        answer = here.ask(phone())
        assert (answer.status_code, answer.json()["call_expected_at"]) == (202, None)
        suspicious = here.ask(phone(), website="x")
        assert (suspicious.status_code, suspicious.json()["call_expected_at"]) == (202, None)
        shown = here.http.get("/v1/sites/shop", headers={"origin": ORIGIN}).json()
        assert shown["call_expected_at"] is None
        assert_refused(here.order(phone()), "quota_site")
        here.accepted(phone(), site="other")
        here.later(seconds=30)
        duplicate = here.ask(numbers[0])
        assert duplicate.status_code == 202
        assert duplicate.json()["call_expected_at"] is None
        assert len(rung(here)) == 5
        here.later(hours=1)
        assert here.ask(phone()).json()["call_expected_at"] is not None


@pytest.mark.parametrize(
    ("addresses", "rings"),
    [
        pytest.param([f"203.0.113.{host}" for host in range(1, 9)], 4, id="a /24"),
        pytest.param([f"2001:db8:1:{net:x}::1" for net in range(8)], 4, id="a /48"),
        pytest.param([f"203.0.{net}.1" for net in range(8)], 8, id="different /24"),
        pytest.param([f"203.0.{net % 2}.{net + 1}" for net in range(8)], 8, id="half by each of two"),
        pytest.param([f"2001:db8:{net % 3}::{net:x}" for net in range(12)], 8, id="three of them"),
    ],
)
def test_one_network_rings_at_most_half_of_a_sites_budget(migrated_url: str, addresses: list[str], rings: int) -> None:
    with world(migrated_url, quotas={"per_site": "8/hour"}) as here:
        for address in addresses:
            here.accepted(phone(), address)
        assert len(rung(here)) == rings
        reasons = Counter(one["reason"] for one in here.listed(status="held"))
        assert reasons == ({"site_budget": len(addresses) - rings} if len(addresses) > rings else {})


def test_a_budget_counts_calls_of_the_night_in_the_morning(migrated_url: str) -> None:
    with world(migrated_url, {"shop": office(9)}, now=moscow(22, 20), quotas={"per_site": "3/hour"}) as here:
        for _ in range(5):
            here.accepted(phone())
            here.later(minutes=70)
        assert len(rung(here)) == 3
        assert len(held(here, "site_budget")) == 2
        here.at(moscow(23, 9, 30))
        assert here.ask(phone()).json()["call_expected_at"] is None
        here.at(moscow(23, 10))
        here.accepted(phone())
        assert len(rung(here)) == 4
