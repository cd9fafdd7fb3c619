"""429 of each quota over HTTP. How quotas count is tested with the outbox."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.routes.refusal import assert_refused
from tests.running import AUTHORIZED, ORIGIN, Clock, Service, phone, service, settings

HOUR = 3600
TIGHT = {
    "client": {"per_address": "2/hour"},
    "phones": {"per_address_phones": "2/hour"},
    "site": {"per_site": "2/hour"},
}


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Service]:
    """A service with one low quota at each site. Tests connect from its trusted proxy, so they choose addresses."""
    sites = {name: {"site_id": 1, "origins": [ORIGIN], "quotas": quotas} for name, quotas in TIGHT.items()}
    chosen = settings(
        tmp_path_factory.mktemp("quotas"), sites=sites, quotas={"per_phone": "2/hour"}, trusted_proxies=["127.0.0.1"]
    )
    with service(chosen, clock=clock) as running:
        yield running


@pytest.fixture(autouse=True)
def an_hour_later(clock: Clock) -> None:
    """Advance the clock, so that no test runs into quotas that another test used."""
    clock.advance(hours=2)


def ask(here: Service, clock: Clock, address: str, **fields: str) -> httpx2.Response:
    """Send a request from an address, three minutes after the previous one: beyond the duplicate window.

    Nothing is delivered here, so the same phone at the same site is a duplicate nevertheless.
    """
    clock.advance(minutes=3)
    return here.ask({"origin": ORIGIN, "x-forwarded-for": address}, **fields)


def assert_over(answer: httpx2.Response, code: str, wait: int) -> None:
    assert_refused(answer, 429, code)
    assert answer.headers["retry-after"] == str(wait)


def test_a_phone_has_a_quota(here: Service, clock: Clock) -> None:
    number = phone()
    assert ask(here, clock, "192.0.2.1", client_phone=number).status_code == 202
    assert ask(here, clock, "192.0.2.2", client_phone=number, site="client").status_code == 202
    over = ask(here, clock, "192.0.2.3", client_phone=number, site="phones")
    assert_over(over, "quota_phone", HOUR)


def test_the_quota_of_a_phone_applies_to_services_with_a_key(here: Service, clock: Clock) -> None:
    number = phone()
    for site in ("shop", "client"):
        assert here.ask(AUTHORIZED, client_phone=number, site=site).status_code == 202
    assert_over(here.ask(AUTHORIZED, client_phone=number, site="phones"), "quota_phone", HOUR)


def test_a_client_has_a_quota(here: Service, clock: Clock) -> None:
    for _ in range(2):
        assert ask(here, clock, "192.0.2.10", site="client", client_phone=phone()).status_code == 202
    assert_over(ask(here, clock, "192.0.2.10", site="client", client_phone=phone()), "quota_client", HOUR - 6 * 60)
    assert ask(here, clock, "192.0.2.11", site="client", client_phone=phone()).status_code == 202


def test_a_client_has_a_quota_of_distinct_phones(here: Service, clock: Clock) -> None:
    first = phone()
    for number in (first, phone()):
        assert ask(here, clock, "192.0.2.20", site="phones", client_phone=number).status_code == 202
    over = ask(here, clock, "192.0.2.20", site="phones", client_phone=phone())
    assert_over(over, "quota_client_phones", HOUR - 6 * 60)
    assert ask(here, clock, "192.0.2.20", site="phones", client_phone=first).status_code == 202


def test_a_site_has_a_quota(here: Service, clock: Clock) -> None:
    for host in (30, 31):
        assert ask(here, clock, f"192.0.2.{host}", site="site", client_phone=phone()).status_code == 202
    over = ask(here, clock, "192.0.2.32", site="site", client_phone=phone())
    assert_over(over, "quota_site", HOUR - 6 * 60)


@pytest.mark.parametrize("number", ["8 800 555-35-35", "8 809 123-45-67", "+1 900 234 5678", "112", "+7 701 123-45-67"])
def test_a_phone_that_is_never_called_is_refused_before_any_quota_is_used(
    here: Service, clock: Clock, number: str
) -> None:
    for _ in range(5):
        assert ask(here, clock, "192.0.2.60", site="client", client_phone=number).status_code == 422
    for _ in range(2):
        assert ask(here, clock, "192.0.2.60", site="client", client_phone=phone()).status_code == 202


def test_a_request_is_accepted_after_the_time_in_retry_after(here: Service, clock: Clock) -> None:
    number = phone()
    for host, site in ((40, "client"), (41, "phones")):
        assert ask(here, clock, f"192.0.2.{host}", client_phone=number, site=site).status_code == 202
    over = ask(here, clock, "192.0.2.42", client_phone=number)
    clock.advance(seconds=int(over.headers["retry-after"]))
    assert here.ask(client_phone=number).status_code == 202


def test_a_duplicate_and_a_replay_are_not_counted(here: Service, clock: Clock) -> None:
    number = phone()
    for _ in range(5):
        assert here.ask(client_phone=number, request_id=number).status_code == 202
        assert here.ask(client_phone=number).json()["duplicate"]
    assert ask(here, clock, "192.0.2.50", client_phone=number, site="client").status_code == 202
