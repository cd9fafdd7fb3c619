"""A challenge buys one request, however the clock is set; and a clock that ran ahead locks nobody out."""

from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from tests.admission.world import HOUR, OPEN, Shop, World, assert_refused, world
from tests.running import phone, until
from tests.solving import solve

GUARDED = {"shop": Shop(settings={"challenge": "on"}), "free": OPEN}


@pytest.fixture
def real() -> datetime:
    """The real time: ALTCHA checks the end of a challenge against the real clock."""
    return datetime.now(UTC)


def ask(here: World, solution: str, number: str, **fields: str) -> httpx2.Response:
    return here.ask(number, challenge=solution, **fields)


def solved(here: World) -> str:
    """Return a solution that is old enough to be sent."""
    solution = solve(here.http, **{"x-forwarded-for": here.new_address()})
    here.clock.advance(seconds=5)
    return solution


def put_one_in_the_queue(here: World) -> str:
    """Request a callback that can't be sent, and return its id."""
    here.far_side.fault("status", status=503, headers={"Retry-After": "600"}, times=None)
    callback_id = here.accepted(phone(), site="free")
    here.settle()
    return callback_id


def wait_for_maintenance(here: World, callback_id: str) -> None:
    """Wait until maintenance has run at the present time of the clock: it has expired this callback."""
    until(lambda: here.stored(callback_id)["status"] == "failed")


@pytest.mark.parametrize(
    "ahead",
    [[{"minutes": 30}], [{"minutes": 11}], [{"hours": 5}], [{"days": 1, "hours": 20}], [{"hours": 1}, {"hours": 30}]],
    ids=["half an hour", "just past its end", "hours", "nearly two days", "twice"],
)
def test_a_used_challenge_stays_used_when_the_clock_ran_ahead_and_is_set_back(
    migrated_url: str, ahead: list[dict[str, float]], real: datetime
) -> None:
    number = phone()
    with world(migrated_url, GUARDED, now=real, give_up_after="5m", resend_after="1m") as here:
        solution = solved(here)
        assert ask(here, solution, number).status_code == 202
        before = here.clock.now
        for step in ahead:
            here.settle()
            expiring = put_one_in_the_queue(here)
            here.clock.advance(**step)
            wait_for_maintenance(here, expiring)
        here.clock.now = before
        for _ in range(3):
            assert_refused(ask(here, solution, phone()), "challenge_used", 409)
            here.clock.advance(minutes=1)
        assert len(here.listed(status="placed")) + len(here.listed(status="sending")) <= 1


@pytest.mark.parametrize("back", [1, 60, 290], ids=lambda seconds: f"{seconds} s back")
def test_a_clock_that_is_set_back_accepts_no_challenge_twice(migrated_url: str, back: int, real: datetime) -> None:
    with world(migrated_url, GUARDED, now=real) as here:
        here.clock.advance(seconds=300)
        solution = solve(here.http)
        here.clock.advance(seconds=299)
        assert ask(here, solution, phone()).status_code == 202
        here.clock.advance(seconds=-back)
        assert_refused(ask(here, solution, phone()), "challenge_used", 409)


@pytest.mark.parametrize("kind", ["blocked address", "cap", "address", "held budget", "held"])
def test_a_refused_request_has_used_its_challenge(migrated_url: str, kind: str, real: datetime) -> None:
    """Otherwise one solution would test many numbers."""
    number = phone()
    quotas = {"per_phone": "1/hour", "per_address": "1/hour", "held_per_site": "1/day"}
    with world(migrated_url, GUARDED, now=real, quotas=quotas) as here:
        address = here.new_address()
        fields: dict[str, str] = {}
        if kind == "blocked address":
            here.block(f"{address}/32")
        elif kind == "cap":
            here.accepted(number, site="free")
            here.clock.advance(minutes=5)
            address = here.new_address()
        elif kind == "address":
            here.accepted(phone(), address, challenge=solved(here))
        else:
            fields = {"website": "x"}
            if kind == "held budget":
                here.accepted(phone(), challenge=solved(here), **fields)
        solution = solved(here)
        answer = here.ask(number, address, challenge=solution, **fields)
        assert answer.status_code == (202 if kind == "held" else 403 if kind == "blocked address" else 429)
        assert_refused(ask(here, solution, phone()), "challenge_used", 409)


def test_an_invalid_request_has_not_used_its_challenge(migrated_url: str, real: datetime) -> None:
    with world(migrated_url, GUARDED, now=real) as here:
        solution = solved(here)
        assert ask(here, solution, "8 800 555-35-35").status_code == 422
        assert ask(here, solution, phone()).status_code == 202


def test_the_same_request_key_may_send_its_challenge_again(migrated_url: str, real: datetime) -> None:
    number = phone()
    with world(migrated_url, GUARDED, now=real) as here:
        solution = solved(here)
        first = ask(here, solution, number, request_id="mine")
        again = ask(here, solution, number, request_id="mine")
        assert (again.status_code, again.json()) == (202, first.json())
        assert_refused(ask(here, solution, phone(), request_id="mine"), "challenge_used", 409)
        assert_refused(ask(here, solution, number, request_id="another"), "challenge_used", 409)
        assert_refused(ask(here, solution, number), "challenge_used", 409)


def test_two_requests_at_once_use_a_challenge_once(migrated_url: str, real: datetime) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with world(migrated_url, GUARDED, now=real) as here:
        solution = solved(here)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: ask(here, solution, number), [phone() for _ in range(8)]))
        assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7


@pytest.mark.parametrize("ahead", [{"minutes": 40}, {"hours": 30}, {"days": 6}], ids=str)
def test_rows_from_a_clock_that_ran_ahead_count_in_no_window(
    migrated_url: str, ahead: dict[str, float], real: datetime
) -> None:
    quotas = {"per_phone": "1/hour", "per_address": "1/hour", "per_site": "4/hour", "held_per_site": "2/hour"}
    with world(migrated_url, {"shop": OPEN}, now=real, quotas=quotas) as here:
        address, numbers = here.new_address(), [phone() for _ in range(2)]
        here.at(real + timedelta(**ahead))
        here.accepted(numbers[0], address)
        for number in numbers[1:]:
            here.accepted(number)
        for _ in range(2):
            here.accepted(phone(), website="x")
        here.at(real)
        fresh = phone()
        here.accepted(fresh, address)
        here.accepted(phone(), website="x")
        assert len(here.rings(fresh)) == 1


def test_a_clock_that_is_set_back_keeps_ids_and_statuses(migrated_url: str, real: datetime) -> None:
    number = phone()
    with world(migrated_url, {"shop": OPEN}, now=real) as here:
        here.at(real + HOUR)
        first = here.ask(number)
        here.settle()
        here.at(real)
        shown = here.shown(first.json()["id"])
        assert shown["call_expected_at"] == first.json()["call_expected_at"]
        stored = here.stored(first.json()["id"])
        assert stored["created_at"] == first.json()["created_at"]  # never rewritten
        second = here.ask(number)
        assert second.status_code == 202
        here.settle()
        assert here.stored(first.json()["id"])["created_at"] == first.json()["created_at"]
        assert len(here.rings(number)) == 2
