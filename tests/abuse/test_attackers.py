"""Typical call-bombing scripts against the running service, and how many calls they cause.

A script that drives the real widget is in tests/browser.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.faults.doses import LONG, dose, note
from tests.running import AUTHORIZED, ORIGIN, Chaser, Clock, Service, chaser, client, phone, service, settings, until
from tests.solving import solve

pytestmark = pytest.mark.timeout(3600 if LONG else 300)

POSTS, REPLAYS, ADDRESSES, VISITORS = dose((100, 250, 50, 48), (300, 1000, 200, 200))
PROXY = "127.0.0.9"
"""The trusted proxy. Through it a test sends requests from any address."""
BROWSER = {
    "origin": ORIGIN,
    "referer": f"{ORIGIN}/",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "accept": "*/*",
    "accept-language": "ru,en;q=0.7",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "cross-site",
}
ORDINARY: dict[str, Any] = {
    "trusted_proxies": [PROXY],
    "sites": {"shop": {"challenge": "on"}},
    "quotas": None,  # the defaults
    "limits": None,
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def far_side() -> Iterator[Chaser]:
    with chaser() as simulator:
        yield simulator


@pytest.fixture
def here(tmp_path: Path, far_side: Chaser, clock: Clock) -> Iterator[Service]:
    """The service with default limits and the challenge, behind a proxy."""
    with (
        service(settings(tmp_path, far_side.api_url, **ORDINARY), clock=clock) as running,
        client(running.url, from_address=PROXY) as http,
    ):
        yield Service(running.url, http)


def from_address(number: int) -> dict[str, str]:
    """Return the header of one of many home addresses, each in a network of its own."""
    return {"x-forwarded-for": f"{100 + number // 250}.{number % 250}.51.7"}


def visit(here: Service, clock: Clock, number: str, headers: dict[str, str]) -> httpx2.Response:
    """Send a request as an honest visitor does: fetch a challenge, solve it, type, send."""
    work = solve(here.http, **headers)
    clock.advance(seconds=3)
    return here.ask(BROWSER | headers, client_phone=number, challenge=work)


def rung(here: Service, far_side: Chaser, number: str, attack: str) -> int:
    """Return the number of a phone's calls, once no callback waits to be sent."""
    until(lambda: not here.http.get("/readyz", headers=AUTHORIZED).json()["waiting"], within=120)
    count = len(far_side.calls(client_phone=number))
    note(attack, f"{count} calls rung")
    return count


def test_a_static_post_without_an_origin_rings_nobody(here: Service, far_side: Chaser) -> None:
    victim = phone()
    body = {"site": "shop", "client_phone": victim}
    answers = [here.http.post("/v1/callbacks", json=body, headers=from_address(n)) for n in range(POSTS)]
    assert {answer.status_code for answer in answers} == {403}
    assert rung(here, far_side, victim, f"{POSTS} static posts without Origin") == 0


def test_a_captured_request_replayed_from_everywhere_rings_once(here: Service, far_side: Chaser, clock: Clock) -> None:
    victim = phone()
    captured = {
        "site": "shop",
        "client_phone": victim,
        "challenge": solve(here.http, **from_address(0)),
        "request_id": "5f2b6c1e8d0f4a579a340d6a2f6f7c11",
    }
    clock.advance(seconds=3)
    first = here.http.post("/v1/callbacks", json=captured, headers=BROWSER | from_address(0))
    assert first.status_code == 202

    def replay(n: int) -> int:
        # A third of the scripts change the request_id, a third change the body, a third change nothing.
        body = captured | ({"request_id": f"replay-{n}"}, {"active_page": f"{ORIGIN}/{n}"}, {})[n % 3]
        return here.http.post("/v1/callbacks", json=body, headers=BROWSER | from_address(n)).status_code

    with ThreadPoolExecutor(4) as scripts:
        statuses = list(scripts.map(replay, range(1, REPLAYS + 1)))
    assert rung(here, far_side, victim, f"a captured request and {REPLAYS} replays") == 1
    # Only the identical request gets the first response again. A changed one is another request, which needs another
    # challenge.
    assert {status for n, status in enumerate(statuses, 1) if n % 3 != 2} == {409}
    assert {status for n, status in enumerate(statuses, 1) if n % 3 == 2} == {202}


def test_a_script_that_cuts_out_the_challenge_and_does_not_solve_it_rings_nobody(
    here: Service, far_side: Chaser
) -> None:
    victim = phone()

    def attack(n: int) -> int:
        page = here.http.get("/v1/challenge", params={"site": "shop"}, headers=BROWSER | from_address(n)).text
        cut = re.search(r'"signature":"(\w+)"', page)
        assert cut is not None
        body = {"site": "shop", "client_phone": victim, "challenge": cut[1], "request_id": str(n)}
        return here.http.post("/v1/callbacks", json=body, headers=BROWSER | from_address(n)).status_code

    assert {attack(n) for n in range(POSTS)} == {403}
    assert rung(here, far_side, victim, f"{POSTS} challenges cut out and not solved") == 0


def test_a_script_that_solves_every_challenge_from_ever_new_addresses_rings_the_cap(
    here: Service, far_side: Chaser, clock: Clock
) -> None:
    victim = phone()
    statuses = []
    for n in range(ADDRESSES):
        statuses.append(visit(here, clock, victim, from_address(n)).status_code)
        clock.advance(seconds=8)  # two hundred requests take 37 minutes
    assert (
        1 <= rung(here, far_side, victim, f"challenges solved from {ADDRESSES} addresses") <= 3
    )  # per hour, over all sites
    assert 429 in statuses


def test_while_scripts_attack_no_honest_visitor_is_refused(here: Service, far_side: Chaser, clock: Clock) -> None:
    victim = phone()

    def attack(n: int) -> None:
        headers = BROWSER | from_address(1000 + n)
        here.http.get("/v1/challenge", params={"site": "shop"}, headers=headers)
        here.http.post("/v1/callbacks", json={"site": "shop", "client_phone": victim}, headers=headers)

    # A quarter of them, fifty of two hundred, share the address of one mobile carrier. They are fewer than the site's
    # budget of a hundred an hour.
    carrier = {"x-forwarded-for": "203.0.113.1"}
    visitors = [(phone(), carrier if n % 4 == 0 else from_address(n)) for n in range(VISITORS)]
    refused = []
    for n, (number, address) in enumerate(visitors):
        for each in range(5):
            attack(5 * n + each)
        answer = visit(here, clock, number, address)
        if answer.status_code != 202:
            refused.append((n, answer.status_code, answer.json()["code"]))
        clock.advance(seconds=35)
    assert refused == []
    assert rung(here, far_side, victim, f"{5 * VISITORS} attacks among {VISITORS} honest visitors") == 0
    assert sum(len(far_side.calls(client_phone=number)) for number, _ in visitors) == VISITORS, "one was held"
