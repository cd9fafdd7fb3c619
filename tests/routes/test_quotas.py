"""Quotas over HTTP: which requests they refuse and which they hold. How they count is tested with admission."""

from collections.abc import Iterator
from datetime import timedelta

import httpx2
import pytest

from tests.routes.refusal import assert_refused
from tests.running import AT_ONCE, AUTHORIZED, ORIGIN, Chaser, Clock, Service, phone, service, settings

HOUR, DAY = 3600, 86_400
TIGHT = {
    "client": {"per_address": "2/hour"},
    "phones": {"per_address_phones": "2/hour"},
    "bursts": {"per_address": "1/minute;3/hour"},
    "site": {"per_site": "2/hour"},
    "held": {"held_per_site": "20/hour"},
}


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, clock: Clock, far_side: Chaser) -> Iterator[Service]:
    """A service with one low quota at each site. Tests connect from its trusted proxy, so they choose addresses."""
    common = {"site_id": 12345, "origins": [ORIGIN], "working_hours": "mon-sun 00:00-24:00"}
    chosen = settings(
        tmp_path_factory.mktemp("quotas"),
        far_side.api_url,
        sites={name: common | {"quotas": quotas} for name, quotas in TIGHT.items()},
        quotas={"per_phone": "2/hour"},
        trusted_proxies=["127.0.0.1"],
    )
    with service(chosen, clock=clock, poll_interval=AT_ONCE) as running:
        yield running


@pytest.fixture(autouse=True)
def an_hour_later(clock: Clock) -> None:
    """Advance the clock, so that no test runs into quotas that another test used."""
    clock.advance(hours=2)


def ask(here: Service, address: str, **fields: str) -> httpx2.Response:
    """Send a request from an address, by default for a new phone. If it is accepted, wait until it has rung."""
    answer = here.ask({"origin": ORIGIN, "x-forwarded-for": address}, **{"client_phone": phone()} | fields)
    if answer.status_code == 202 and here.status(answer.json()["id"]) not in ("held", "duplicate"):
        here.wait_for(answer.json()["id"], "placed")
    return answer


def assert_held(here: Service, answer: httpx2.Response, reason: str) -> None:
    """Check that a request is held, and that its sender isn't told."""
    assert answer.status_code == 202, answer.text
    assert answer.json().items() >= {"status": "queued", "call_expected_at": None, "duplicate": False}.items()
    assert here.shown(answer.json()["id"]).items() >= {"status": "held", "reason": reason, "held_for": reason}.items()


def assert_over(answer: httpx2.Response, code: str, wait: int) -> None:
    assert_refused(answer, 429, code)
    assert answer.headers["retry-after"] == str(wait)


def test_a_phone_has_a_quota_over_all_sites(here: Service) -> None:
    number = phone()
    assert ask(here, "192.0.2.1", client_phone=number).status_code == 202
    assert ask(here, "192.0.2.2", client_phone=number, site="client").status_code == 202
    assert_over(ask(here, "192.0.2.3", client_phone=number, site="phones"), "quota_phone", HOUR)


def test_the_quota_of_a_phone_applies_to_services_with_a_key(here: Service) -> None:
    number = phone()
    for site in ("shop", "client"):
        assert here.ask(AUTHORIZED, client_phone=number, site=site).status_code == 202
    assert_over(here.ask(AUTHORIZED, client_phone=number, site="phones"), "quota_phone", HOUR)


def test_the_quota_of_a_phone_always_names_an_hour_and_ends_with_its_window(here: Service, clock: Clock) -> None:
    """An exact time would tell when others asked for the number."""
    number = phone()
    for host, site in ((40, "client"), (41, "phones")):
        assert ask(here, f"192.0.2.{host}", client_phone=number, site=site).status_code == 202
    clock.advance(minutes=59)
    assert_over(ask(here, "192.0.2.42", client_phone=number), "quota_phone", HOUR)
    clock.advance(minutes=1)
    assert ask(here, "192.0.2.43", client_phone=number).status_code == 202


def test_the_quota_of_a_phone_counts_when_it_rings_and_not_when_it_was_asked_for(here: Service, clock: Clock) -> None:
    number = phone()
    planned = (clock() + timedelta(hours=5)).isoformat()
    for host, site in ((45, "client"), (46, "phones")):
        answer = ask(here, f"192.0.2.{host}", client_phone=number, site=site, planned_time=planned)
        assert answer.status_code == 202
    assert ask(here, "192.0.2.47", client_phone=number).status_code == 202, "nothing has rung yet"
    clock.advance(hours=4, minutes=30)
    assert_over(ask(here, "192.0.2.48", client_phone=number), "quota_phone", HOUR)


def test_an_address_has_a_quota_of_requests_at_each_site(here: Service, clock: Clock) -> None:
    for _ in range(2):
        assert ask(here, "192.0.2.10", site="client").status_code == 202
        clock.advance(minutes=3)
    assert_over(ask(here, "192.0.2.10", site="client"), "quota_client", HOUR - 6 * 60)
    assert ask(here, "192.0.2.11", site="client").status_code == 202
    assert ask(here, "192.0.2.10", site="phones").status_code == 202


def test_an_address_has_a_quota_of_distinct_phones_at_each_site(here: Service, clock: Clock) -> None:
    first = phone()
    for number in (first, phone()):
        assert ask(here, "192.0.2.20", site="phones", client_phone=number).status_code == 202
        clock.advance(minutes=3)
    assert_over(ask(here, "192.0.2.20", site="phones"), "quota_client_phones", HOUR - 6 * 60)
    assert ask(here, "192.0.2.20", site="phones", client_phone=first).status_code == 202
    assert ask(here, "192.0.2.20", site="client").status_code == 202


def test_the_longest_quota_of_an_address_refuses_and_a_shorter_one_holds(here: Service, clock: Clock) -> None:
    assert here.status(ask(here, "192.0.2.70", site="bursts").json()["id"]) == "placed"
    assert_held(here, ask(here, "192.0.2.70", site="bursts"), "burst")
    for _ in range(2):
        clock.advance(minutes=1)
        assert here.status(ask(here, "192.0.2.70", site="bursts").json()["id"]) == "placed"
    clock.advance(minutes=1)
    assert_over(ask(here, "192.0.2.70", site="bursts"), "quota_client", HOUR - 3 * 60)


def test_twenty_phones_a_minute_over_all_sites_are_a_burst(here: Service, clock: Clock) -> None:
    for n in range(20):
        assert here.status(ask(here, "192.0.2.80", site=("shop", "held")[n % 2]).json()["id"]) == "placed"
    assert_held(here, ask(here, "192.0.2.80"), "burst")
    assert here.status(ask(here, "192.0.2.81").json()["id"]) == "placed"
    clock.advance(minutes=1)
    assert here.status(ask(here, "192.0.2.80").json()["id"]) == "placed"


def test_a_site_over_its_budget_holds_requests_of_visitors_and_refuses_those_of_services(here: Service) -> None:
    for network in (30, 31):
        assert here.status(ask(here, f"192.0.{network}.1", site="site").json()["id"]) == "placed"
    assert_held(here, ask(here, "192.0.32.1", site="site"), "site_budget")
    assert_over(here.ask(AUTHORIZED, client_phone=phone(), site="site"), "quota_site", HOUR)
    assert here.http.get("/v1/sites/site").json()["call_expected_at"] is None
    assert here.http.get("/v1/sites/client").json()["call_expected_at"] is not None


def test_one_network_may_use_half_of_a_site_s_budget(here: Service) -> None:
    assert here.status(ask(here, "192.0.2.33", site="site").json()["id"]) == "placed"
    assert_held(here, ask(here, "192.0.2.34", site="site"), "site_budget")
    assert here.status(ask(here, "198.51.100.1", site="site").json()["id"]) == "placed"


def test_held_requests_have_a_budget_and_one_address_a_tenth_of_it(here: Service) -> None:
    bot = {"site": "held", "website": "filled in"}
    for host in range(10):
        for _ in range(2):
            assert here.status(ask(here, f"203.0.113.{host}", **bot).json()["id"]) == "held"
        if host == 0:
            assert_over(ask(here, "203.0.113.0", **bot), "quota_client", HOUR)
    assert_over(ask(here, "203.0.113.99", **bot), "quota_site", HOUR)  # as of a full site
    assert here.status(ask(here, "203.0.113.99", site="held").json()["id"]) == "placed"


def test_held_requests_use_up_no_quota_of_a_phone_or_an_address(here: Service) -> None:
    number = phone()
    for _ in range(5):
        assert ask(here, "192.0.2.90", site="client", client_phone=number, website="filled in").status_code == 202
    for _ in range(2):
        assert ask(here, "192.0.2.90", site="client").status_code == 202
    for site in ("shop", "phones"):
        assert here.status(ask(here, "192.0.2.91", site=site, client_phone=number).json()["id"]) == "placed"


@pytest.mark.parametrize("number", ["8 800 555-35-35", "8 809 123-45-67", "+1 900 234 5678", "112", "+7 701 123-45-67"])
def test_a_phone_that_is_never_called_is_refused_before_any_quota_is_used(here: Service, number: str) -> None:
    for _ in range(5):
        assert ask(here, "192.0.2.60", site="client", client_phone=number).status_code == 422
    for _ in range(2):
        assert ask(here, "192.0.2.60", site="client").status_code == 202


def test_a_replay_is_not_counted_and_a_duplicate_counts_for_its_sender_only(here: Service, clock: Clock) -> None:
    number = phone()
    for _ in range(5):
        first = ask(here, "192.0.2.50", site="client", client_phone=number, request_id=number)
        assert first.status_code == 202
    for _ in range(5):
        assert here.status(ask(here, "192.0.2.51", site="shop", client_phone=number).json()["id"]) != "held"
    assert here.status(ask(here, "192.0.2.50", site="client", client_phone=number).json()["id"]) == "duplicate"
    assert_over(ask(here, "192.0.2.50", site="client"), "quota_client", HOUR)
    clock.advance(minutes=3)
    assert_over(ask(here, "192.0.2.52", client_phone=number), "quota_phone", HOUR)
