"""A site with a challenge: the proof of work of a visitor's request, and requests that are held for an operator."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.routes.refusal import OTHER_ORIGIN, assert_refused
from tests.running import AUTHORIZED, ORIGIN, Clock, Service, client, phone, service, settings
from tests.solving import solve

SITES: dict[str, Any] = {
    "shop": {"challenge": "on"},
    "other": {"site_id": 1, "origins": [OTHER_ORIGIN], "challenge": "on"},
    "open": {"site_id": 2, "origins": [ORIGIN], "challenge": "off"},
}

PAGE = {"origin": ORIGIN}
VISITOR = "127.3.2.1"


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("challenge")
    with service(settings(folder, sites=SITES), clock=clock) as running:
        yield running


@pytest.fixture
def solution(here: Service, clock: Clock) -> str:
    """A solved challenge, old enough not to look like a bot's."""
    solved = solve(here.http)
    clock.advance(seconds=5)
    return solved


def test_a_solution_is_accepted_once(here: Service, solution: str) -> None:
    assert here.ask(client_phone=phone(), challenge=solution).status_code == 202
    assert_refused(here.ask(client_phone=phone(), challenge=solution), 409, "challenge_used")


def test_a_refused_request_consumes_its_challenge(here: Service, solution: str) -> None:
    """Otherwise one solution would do to try how many requests are left to an address or a phone."""
    assert here.http.post("/v1/blocklist", json={"entry": VISITOR}, headers=AUTHORIZED).status_code == 201
    fields = {"client_phone": phone(), "challenge": solution, "request_id": "blocked"}
    with client(here.url, from_address=VISITOR) as http:
        for _ in range(2):  # the same request again consumes no other challenge
            assert_refused(Service(here.url, http).ask(**fields), 403, "blocked")
    assert_refused(here.ask(client_phone=phone(), challenge=solution), 409, "challenge_used")


def test_a_request_for_a_blocked_phone_consumes_its_challenge(here: Service, solution: str) -> None:
    number = phone()
    assert here.http.post("/v1/blocklist", json={"entry": f"+{number}"}, headers=AUTHORIZED).status_code == 201
    assert here.status(here.accepted(client_phone=number, challenge=solution)) == "held"
    assert_refused(here.ask(client_phone=phone(), challenge=solution), 409, "challenge_used")


def test_a_request_repeated_with_the_same_solution_is_replayed(here: Service, solution: str) -> None:
    fields = {"client_phone": phone(), "challenge": solution, "request_id": "the-same"}
    first, again = here.ask(**fields), here.ask(**fields)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"


def test_a_repeated_request_is_replayed_even_if_its_challenge_has_expired(
    here: Service, solution: str, clock: Clock
) -> None:
    fields = {"client_phone": phone(), "challenge": solution, "request_id": "expired"}
    first = here.ask(**fields)
    clock.advance(minutes=11)
    assert here.ask(**fields).json() == first.json()
    assert_refused(here.ask(**fields | {"request_id": "another"}), 403, "challenge_expired")


@pytest.mark.parametrize("fields", [{}, {"challenge": None}, {"challenge": ""}])
def test_a_visitor_without_a_solution_is_refused(here: Service, fields: dict[str, Any]) -> None:
    assert_refused(here.ask(client_phone=phone(), **fields), 403, "challenge_missing")


def test_a_wrong_solution_is_refused(here: Service) -> None:
    assert_refused(here.ask(client_phone=phone(), challenge="e30="), 403, "challenge_wrong")


def test_a_solution_for_another_site_is_refused(here: Service, clock: Clock) -> None:
    solution = solve(here.http, "other")
    clock.advance(seconds=5)
    assert_refused(here.ask(client_phone=phone(), challenge=solution), 403, "challenge_wrong")


def test_a_solution_sent_too_fast_is_refused_and_accepted_a_second_later(here: Service, clock: Clock) -> None:
    solution = solve(here.http)
    answer = here.ask(client_phone=phone(), challenge=solution)
    assert_refused(answer, 403, "challenge_too_fast")
    assert answer.headers["retry-after"] == "1"
    clock.advance(seconds=1)
    assert here.ask(client_phone=phone(), challenge=solution).status_code == 202


def test_a_service_with_a_key_needs_no_challenge(here: Service) -> None:
    assert here.ask(AUTHORIZED, client_phone=phone()).status_code == 202


def test_a_site_with_the_challenge_off_needs_no_challenge(here: Service) -> None:
    assert here.ask(site="open", client_phone=phone()).status_code == 202


def test_a_challenge_for_an_unknown_site_is_not_found(here: Service) -> None:
    assert_refused(here.http.get("/v1/challenge", params={"site": "nobody"}), 404, "unknown_site")
    assert_refused(here.http.get("/v1/challenge"), 422, "invalid", {"site": "required"})


def test_a_challenge_is_never_cached_and_is_readable_by_the_page(here: Service) -> None:
    answer = here.http.get("/v1/challenge", params={"site": "shop"}, headers={"origin": ORIGIN})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_many_challenges_for_one_client_become_harder(tmp_path: Path) -> None:
    with service(settings(tmp_path, sites=SITES)) as here:
        assert all(len(solve(here.http)) for _ in range(5))
        for _ in range(400):
            here.http.get("/v1/challenge", params={"site": "shop"})
        # Counters below 60 are now below hundreds: nine of nine below 60 by chance is next to impossible.
        counters = [_counter(solve(here.http)) for _ in range(9)]
        assert max(counters) > 60


def _counter(payload: str) -> int:
    return int(json.loads(base64.b64decode(payload))["solution"]["counter"])


def test_a_filled_honeypot_holds_the_callback_and_the_response_is_as_usual(here: Service, solution: str) -> None:
    answer = here.ask(client_phone=phone(), challenge=solution, website="https://spam.example")
    assert answer.status_code == 202
    callback_id = answer.json()["id"]
    assert (answer.json()["status"], here.public_status(callback_id)) == ("queued", "queued")
    assert here.shown(callback_id).items() >= {"status": "held", "reason": "honeypot", "held_for": "honeypot"}.items()


def test_a_request_sent_faster_than_a_person_types_is_held(here: Service, clock: Clock) -> None:
    solution = solve(here.http)
    clock.advance(seconds=1.2)
    callback_id = here.accepted(challenge=solution)
    assert here.shown(callback_id).items() >= {"status": "held", "held_for": "sent_too_fast"}.items()


def test_an_uncertain_phone_is_held_only_from_a_network_with_elevated_difficulty(tmp_path: Path) -> None:
    clock = Clock()
    with service(settings(tmp_path, sites=SITES), clock=clock) as here:
        first = solve(here.http)
        clock.advance(seconds=5)
        uncertain = here.ask(PAGE, client_phone="+7 200 123-45-67", challenge=first).json()["id"]
        assert here.status(uncertain) != "held"
        solutions = [solve(here.http) for _ in range(40)]
        clock.advance(seconds=5)
        elevated = here.ask(PAGE, client_phone="+7 200 123-45-68", challenge=solutions[0]).json()["id"]
        certain = here.ask(PAGE, client_phone=phone(), challenge=solutions[1]).json()["id"]
        assert here.shown(elevated).items() >= {"status": "held", "held_for": "suspicious_network"}.items()
        assert here.status(certain) != "held"


def test_a_request_with_an_api_key_is_not_held(here: Service) -> None:
    answer = here.ask(AUTHORIZED, client_phone="+7 200 123-45-69", website="https://its-own.example")
    assert here.status(answer.json()["id"]) != "held"


def test_a_held_callback_does_not_expire(here: Service, solution: str, clock: Clock) -> None:
    callback_id = here.accepted(challenge=solution, website="x")
    clock.advance(hours=48)
    assert here.status(callback_id) == "held"
