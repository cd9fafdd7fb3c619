"""Chaser refuses the account, or one site of it: nothing is burned, all others go on, delivery resumes by itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.simulator.options import DEMO_ACCOUNT, DEMO_SITE_ID, Account, Options, Site
from tests.delivery.conftest import Attempts
from tests.running import AT_ONCE, ORIGIN, Chaser, Clock, Service, chaser, service, settings, until

OF_ANOTHER_ACCOUNT = 777
"""A site_id that Chaser answers with 403."""


def sites(here: Service) -> Any:
    return here.http.get("/readyz").json()["sites"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_account_pauses_and_resumes_by_itself(
    here: Service, far_side: Chaser, attempts: Attempts, clock: Clock, status: int
) -> None:
    far_side.fault("status", status=status, times=None)
    first = here.accepted()
    until(lambda: sites(here) == {"shop": "paused"})
    second = here.accepted()
    for _ in range(3):
        clock.advance(seconds=61)
        arrived = len(far_side.requests())
        until(lambda arrived=arrived: len(far_side.requests()) > arrived)
    assert (here.status(first), here.status(second)) == ("queued", "queued")
    assert attempts(second) == [], "nobody's attempts are burned by a wrong account"
    assert {request["path"] for request in far_side.requests()[1:]} == {"/v1/websites"}
    far_side.well_again()
    clock.advance(seconds=61)
    here.wait_for(first, "placed")
    here.wait_for(second, "placed")
    assert len(far_side.calls()) == 2
    assert sites(here) == {"shop": "ok"}


def test_a_401_that_is_one_callbacks_own_stops_no_other_and_ends_by_itself(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts
) -> None:
    far_side.fault("status", status=401, path="/v1/call", times=None)
    odd = here.accepted()
    refused: list[tuple[str, int | None]] = []
    for wait in (None, 5, 15, 60, 300, 300):  # by the schedule, and up to a fifth more
        if wait is not None:
            clock.advance(seconds=wait * 1.2)
        refused.append(("unauthorized", 401))
        until(lambda: attempts(odd) == refused and sites(here) == {"shop": "ok"})
        far_side.well_again()
        here.wait_for(here.accepted(), "placed")
        far_side.fault("status", status=401, path="/v1/call", times=None)
    assert len(far_side.requests(path="/v1/websites")) == len(refused), "asked once for each"
    clock.advance(hours=2)
    here.wait_for(odd, "failed")
    assert attempts(odd) == refused


@pytest.fixture
def two_accounts() -> Iterator[Chaser]:
    another = Account("9", "its-key", (Site(str(OF_ANOTHER_ACCOUNT), "of somebody else"),))
    with chaser(Options((DEMO_ACCOUNT, another))) as far_side:
        yield far_side


def test_a_site_that_chaser_forbids_stops_no_other(
    two_accounts: Chaser, tmp_path: Path, clock: Clock, attempts: Attempts
) -> None:
    wrong = {"site_id": OF_ANOTHER_ACCOUNT, "origins": [ORIGIN]}
    with service(
        settings(tmp_path, two_accounts.api_url, sites={"wrong": wrong}), clock=clock, poll_interval=AT_ONCE
    ) as here:
        forbidden = [here.accepted(site="wrong") for _ in range(3)]
        until(lambda: sites(here) == {"shop": "ok", "wrong": "paused"})
        until(lambda: all(here.status(wish) == "queued" for wish in forbidden))
        first_calls = len(two_accounts.requests(path="/v1/call", status="403"))
        for minute in range(1, 4):
            here.wait_for(here.accepted(), "placed")
            clock.advance(seconds=61)
            until(lambda minute=minute: sum(len(attempts(wish)) for wish in forbidden) == first_calls + minute)
            until(lambda: all(here.status(wish) == "queued" for wish in forbidden))
            here.wait_for(here.accepted(), "placed")
            assert sites(here) == {"shop": "ok", "wrong": "paused"}
        assert here.http.get("/readyz").status_code == 200, "requests are accepted, and wait"
    assert {outcome for wish in forbidden for outcome in attempts(wish)} == {("forbidden", 403)}
    assert len(two_accounts.requests(path="/v1/call", status="403")) == first_calls + 3, "one a minute"
    assert len(two_accounts.requests(path="/v1/websites")) == 1, "asked once whether it is the account"


@pytest.mark.parametrize("others", [1, 3])
def test_a_paused_site_without_callbacks_does_not_keep_the_next_one_paused(
    far_side: Chaser, tmp_path: Path, clock: Clock, others: int
) -> None:
    paused = [f"paused{number}" for number in range(others)]
    more = {name: {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN]} for name in (*paused, "well")}
    # One call a second: no more than one site can be tried at a time.
    slow = settings(tmp_path, far_side.api_url, sites=more, calls_per_second=1)
    with service(slow, clock=clock, poll_interval=AT_ONCE) as here:
        for name in (*paused, "shop"):
            far_side.fault("status", status=403, times=1, path="/v1/call")
            wish = here.accepted(site=name)
            until(lambda name=name: (sites(here)[name], sites(here)["well"]) == ("paused", "ok"))
            until(lambda wish=wish: here.status(wish) == "queued")
            if name != "shop":
                assert withdrawn(tmp_path, wish), "so that nothing is due there"
        clock.advance(seconds=61)
        here.wait_for(wish, "placed")


def withdrawn(folder: Path, callback_id: str) -> bool:
    with closing(sqlite3.connect(folder / "callbacks.db", timeout=10, isolation_level=None)) as database:
        change = "UPDATE callbacks SET status = 'cancelled', due_at = NULL WHERE id = ?"
        return database.execute(change, [callback_id]).rowcount == 1


def test_a_site_that_chaser_takes_again_resumes_with_all_that_waited(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts
) -> None:
    far_side.fault("status", status=403, times=1, path="/v1/call")
    first = here.accepted()
    until(lambda: len(far_side.requests(path="/v1/websites")) == 1)
    until(lambda: attempts(first) == [("forbidden", 403)])
    assert sites(here) == {"shop": "paused"}
    others = [here.accepted() for _ in range(3)]
    clock.advance(seconds=61)
    for wish in (first, *others):
        here.wait_for(wish, "placed")
    assert attempts(first) == [("forbidden", 403), ("placed", 200)]
    assert [attempts(wish) for wish in others] == [[("placed", 200)]] * 3
    assert sites(here) == {"shop": "ok"}
