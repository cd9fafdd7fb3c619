"""Proof of work: only a challenge that was solved in time for its site is accepted."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.edge.proof_of_work import COUNTERS, LONGEST_AGE, SHORTEST_AGE, Challenges
from app.errors import ForbiddenError
from tests.solving import solved

SECRET = b"a secret of the tests"


class Clock:
    """The current time, until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def challenges(clock: Clock) -> Challenges:
    return Challenges(SECRET, clock)


def changed(payload: str, **parameters: Any) -> str:
    """Return a payload with some parameters replaced."""
    content = json.loads(base64.b64decode(payload))
    content["challenge"]["parameters"] |= parameters
    return base64.b64encode(json.dumps(content).encode()).decode()


def code_of(challenges: Challenges, payload: str | None, site: str = "shop") -> str:
    with pytest.raises(ForbiddenError) as refused:
        challenges.verify(payload, site)
    return refused.value.code


def test_a_solution_is_accepted_with_its_nonce_age_and_expiry(challenges: Challenges, clock: Clock) -> None:
    issued = challenges.issue("shop", 1)
    began = clock.now
    payload = solved(issued)
    clock.now += SHORTEST_AGE
    verified = challenges.verify(payload, "shop")
    assert verified.nonce == issued["parameters"]["nonce"]
    assert SHORTEST_AGE <= verified.age < SHORTEST_AGE + timedelta(milliseconds=2)
    assert abs(verified.expires_at - (began + LONGEST_AGE)) < timedelta(milliseconds=2)


@pytest.mark.parametrize("payload", [None, ""])
def test_no_solution_is_refused(challenges: Challenges, payload: str | None) -> None:
    assert code_of(challenges, payload) == "challenge_missing"


@pytest.mark.parametrize(
    "payload",
    ["x", "e30=", "bnVsbA==", "W10=", "\ud800", "ÿ", "A" * 2000, base64.b64encode(b"[" * 3000).decode()],
    ids=["no base64", "{}", "null", "[]", "surrogate", "not ascii", "nonsense", "deep"],
)
def test_an_invalid_solution_is_refused(challenges: Challenges, payload: str) -> None:
    assert code_of(challenges, payload) == "challenge_wrong"


def test_an_unsolved_challenge_is_refused(challenges: Challenges, clock: Clock) -> None:
    issued = challenges.issue("shop", 1)
    clock.now += SHORTEST_AGE
    for key in ("", "00", issued["parameters"]["keyPrefix"]):
        content = {"challenge": issued, "solution": {"counter": 0, "derivedKey": key}}
        assert code_of(challenges, base64.b64encode(json.dumps(content).encode()).decode()) == "challenge_wrong"


@pytest.mark.parametrize(
    "parameters",
    [
        {"keyPrefix": ""},
        {"cost": 1},
        {"expiresAt": 4_000_000_000},
        {"data": {"site": "shop", "given": 1}},
        {"keySignature": None},
        {"nonce": "00" * 16},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_a_changed_challenge_is_refused(challenges: Challenges, clock: Clock, parameters: dict[str, Any]) -> None:
    payload = solved(challenges.issue("shop", 1))
    clock.now += SHORTEST_AGE
    assert code_of(challenges, changed(payload, **parameters)) == "challenge_wrong"


def test_another_services_challenge_is_refused(challenges: Challenges, clock: Clock) -> None:
    payload = solved(Challenges(b"another secret", clock).issue("shop", 1))
    clock.now += SHORTEST_AGE
    assert code_of(challenges, payload) == "challenge_wrong"


def test_a_former_secret_verifies_what_it_signed_before_the_change_and_nothing_later(clock: Clock) -> None:
    """Otherwise anybody who knows it could sign challenges for as long as it is recognised."""
    former = Challenges(b"a former secret", clock)
    before = solved(former.issue("shop", 1))
    clock.now += SHORTEST_AGE
    changed = Challenges(SECRET, clock, (b"a former secret", clock.now))
    assert changed.verify(before, "shop").age >= SHORTEST_AGE
    clock.now += SHORTEST_AGE
    after = solved(former.issue("shop", 1))
    clock.now += SHORTEST_AGE
    assert code_of(changed, after) == "challenge_wrong"
    clock.now += LONGEST_AGE
    assert code_of(changed, before) == "challenge_expired"


def test_another_sites_challenge_is_refused(challenges: Challenges, clock: Clock) -> None:
    payload = solved(challenges.issue("other", 1))
    clock.now += SHORTEST_AGE
    assert code_of(challenges, payload) == "challenge_wrong"


def test_a_solution_younger_than_a_second_is_refused_with_retry_after(challenges: Challenges, clock: Clock) -> None:
    payload = solved(challenges.issue("shop", 1))
    clock.now += timedelta(milliseconds=400)
    with pytest.raises(ForbiddenError) as refused:
        challenges.verify(payload, "shop")
    assert refused.value.code == "challenge_too_fast"
    assert refused.value.retry_after is not None
    assert 0.59 < refused.value.retry_after < 0.61
    clock.now += timedelta(milliseconds=601)
    challenges.verify(payload, "shop")


def test_a_solution_older_than_ten_minutes_is_refused(challenges: Challenges, clock: Clock) -> None:
    payload = solved(challenges.issue("shop", 1))
    clock.now += LONGEST_AGE + timedelta(seconds=1)
    assert code_of(challenges, payload) == "challenge_expired"


def test_an_old_solution_stays_refused_after_the_clock_was_set_back(challenges: Challenges, clock: Clock) -> None:
    now = clock.now
    clock.now = now - LONGEST_AGE - timedelta(seconds=2)
    payload = solved(challenges.issue("shop", 1))
    assert code_of(challenges, payload) == "challenge_expired"


def test_the_work_grows_with_the_difficulty_and_has_an_upper_bound(challenges: Challenges) -> None:
    counters = [
        json.loads(base64.b64decode(solved(challenges.issue("shop", 3))))["solution"]["counter"] for _ in range(30)
    ]
    assert max(counters) < 3 * COUNTERS
    assert max(counters) > COUNTERS  # fails by chance with a probability of (1/3) ** 30
