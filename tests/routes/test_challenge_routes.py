"""A site with a challenge: what a visitor's request needs, and what is held for a person to look at."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.routes.refusal import OTHER_ORIGIN, assert_refused
from tests.running import AUTHORIZED, ORIGIN, Clock, Service, phone, service, settings
from tests.solving import solve

SITES: dict[str, Any] = {
    "shop": {"challenge": "on"},
    "other": {"site_id": 1, "origins": [OTHER_ORIGIN], "challenge": "on"},
    "open": {"site_id": 2, "origins": [ORIGIN], "challenge": "off"},
}


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("challenge")
    with service(settings(folder, sites=SITES), clock=clock) as running:
        yield running


@pytest.fixture
def work(here: Service, clock: Clock) -> str:
    """A solution that is old enough for a person."""
    done = solve(here.http)
    clock.advance(seconds=5)
    return done


def true_state(here: Service, callback_id: str) -> str:
    return str(here.http.get(f"/v1/callbacks/{callback_id}", headers=AUTHORIZED).json()["status"])


def test_a_solved_challenge_opens_the_door_once(here: Service, work: str) -> None:
    assert here.ask(client_phone=phone(), challenge=work).status_code == 202
    assert_refused(here.ask(client_phone=phone(), challenge=work), 409, "challenge_used")


def test_asking_whether_a_number_is_blocked_uses_a_challenge_up(here: Service, work: str) -> None:
    number = phone()
    assert here.http.post("/v1/blocklist", json={"entry": f"+{number}"}, headers=AUTHORIZED).status_code == 201
    asked = {"client_phone": number, "challenge": work, "request_id": "blocked"}
    for _ in range(2):  # the same request again is the same question
        assert_refused(here.ask(**asked), 403, "blocked")
    assert_refused(here.ask(client_phone=number, challenge=work), 409, "challenge_used")
    assert_refused(here.ask(client_phone=phone(), challenge=work), 409, "challenge_used")


def test_the_same_request_again_with_the_same_solution_is_the_same_callback(here: Service, work: str) -> None:
    asked = {"client_phone": phone(), "challenge": work, "request_id": "the-same"}
    first, again = here.ask(**asked), here.ask(**asked)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"


def test_the_same_request_again_is_answered_also_when_its_challenge_has_expired(
    here: Service, work: str, clock: Clock
) -> None:
    asked = {"client_phone": phone(), "challenge": work, "request_id": "expired"}
    first = here.ask(**asked)
    clock.advance(minutes=11)
    assert here.ask(**asked).json() == first.json()
    assert_refused(here.ask(**asked | {"request_id": "another"}), 403, "challenge_expired")


@pytest.mark.parametrize("given", [{}, {"challenge": None}, {"challenge": ""}])
def test_a_visitor_without_a_solution_is_refused(here: Service, given: dict[str, Any]) -> None:
    assert_refused(here.ask(client_phone=phone(), **given), 403, "challenge_missing")


def test_a_wrong_solution_is_refused(here: Service) -> None:
    assert_refused(here.ask(client_phone=phone(), challenge="e30="), 403, "challenge_wrong")


def test_another_sites_solution_is_refused(here: Service, clock: Clock) -> None:
    work = solve(here.http, "other")
    clock.advance(seconds=5)
    assert_refused(here.ask(client_phone=phone(), challenge=work), 403, "challenge_wrong")


def test_a_solution_that_comes_too_fast_is_told_to_wait_and_taken_afterwards(here: Service, clock: Clock) -> None:
    work = solve(here.http)
    answer = here.ask(client_phone=phone(), challenge=work)
    assert_refused(answer, 403, "challenge_too_fast")
    assert answer.headers["retry-after"] == "1"
    clock.advance(seconds=1)
    assert here.ask(client_phone=phone(), challenge=work).status_code == 202


def test_a_service_with_a_key_needs_none(here: Service) -> None:
    assert here.ask(AUTHORIZED, client_phone=phone()).status_code == 202


def test_a_site_without_the_challenge_needs_none(here: Service) -> None:
    assert here.ask(site="open", client_phone=phone()).status_code == 202


def test_a_challenge_of_an_unknown_site_is_not_found(here: Service) -> None:
    assert_refused(here.http.get("/v1/challenge", params={"site": "nobody"}), 404, "unknown_site")
    assert_refused(here.http.get("/v1/challenge"), 422, "invalid", {"site": "required"})


def test_a_challenge_is_never_kept_by_a_cache_and_may_be_read_by_the_page(here: Service) -> None:
    answer = here.http.get("/v1/challenge", params={"site": "shop"}, headers={"origin": ORIGIN})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_whoever_asks_for_many_challenges_gets_harder_ones(tmp_path: Path) -> None:
    with service(settings(tmp_path, sites=SITES)) as here:
        work = [len(solve(here.http)) for _ in range(5)]
        assert all(work)
        for _ in range(400):
            here.http.get("/v1/challenge", params={"site": "shop"})
        # From one of sixty counters to one of hundreds: of nine, all within sixty would be a wonder.
        counters = [_counter(solve(here.http)) for _ in range(9)]
        assert max(counters) > 60


def _counter(payload: str) -> int:
    return int(json.loads(base64.b64decode(payload))["solution"]["counter"])


def test_a_filled_trap_holds_the_callback_and_the_visitor_is_answered_as_usual(here: Service, work: str) -> None:
    answer = here.ask(client_phone=phone(), challenge=work, website="https://spam.example")
    assert answer.status_code == 202
    callback_id = answer.json()["id"]
    assert (answer.json()["status"], here.status(callback_id)) == ("queued", "queued")
    assert true_state(here, callback_id) == "held"


def test_a_request_sent_faster_than_a_person_can_is_held(here: Service, clock: Clock) -> None:
    work = solve(here.http)
    clock.advance(seconds=1.2)
    callback_id = here.ask(client_phone=phone(), challenge=work).json()["id"]
    assert true_state(here, callback_id) == "held"


def test_a_doubtful_number_is_held_only_from_a_crowded_network(tmp_path: Path) -> None:
    clock = Clock()
    with service(settings(tmp_path, sites=SITES), clock=clock) as here:
        early = solve(here.http)
        clock.advance(seconds=5)
        ordinary = here.ask(client_phone="+7 200 123-45-67", challenge=early).json()["id"]
        assert true_state(here, ordinary) != "held"
        crowd = [solve(here.http) for _ in range(40)]
        clock.advance(seconds=5)
        doubtful = here.ask(client_phone="+7 200 123-45-68", challenge=crowd[0]).json()["id"]
        certain = here.ask(client_phone=phone(), challenge=crowd[1]).json()["id"]
        assert (true_state(here, doubtful), true_state(here, certain) != "held") == ("held", True)


def test_a_service_with_a_key_is_not_suspected(here: Service) -> None:
    answer = here.ask(AUTHORIZED, client_phone="+7 200 123-45-69", website="https://its-own.example")
    assert true_state(here, answer.json()["id"]) != "held"


def test_what_is_held_longer_than_a_visitor_would_wait_still_waits(here: Service, work: str, clock: Clock) -> None:
    callback_id = here.ask(client_phone=phone(), challenge=work, website="x").json()["id"]
    clock.advance(hours=48)
    assert true_state(here, callback_id) == "held"
