"""Chaser refuses an account or one site: no attempts are wasted, all others continue, delivery resumes by itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.simulator.options import DEMO_ACCOUNT, DEMO_SITE_ID, Account, Options, Site
from tests.delivery.conftest import Attempts
from tests.running import AT_ONCE, AUTHORIZED, ORIGIN, Chaser, Clock, Service, chaser, service, settings, until

FOREIGN_SITE_ID = 777
"""A site_id of another account, which Chaser answers with 403."""


def sites(here: Service) -> Any:
    return here.http.get("/readyz", headers=AUTHORIZED).json()["sites"]


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
        received = len(far_side.requests())
        until(lambda received=received: len(far_side.requests()) > received)
    assert (here.status(first), here.status(second)) == ("queued", "queued")
    assert attempts(second) == [], "a wrong account wastes no attempts"
    assert {request["path"] for request in far_side.requests()[1:]} == {"/v1/websites"}
    far_side.clear_faults()
    clock.advance(seconds=61)
    here.wait_for(first, "placed")
    here.wait_for(second, "placed")
    assert len(far_side.calls()) == 2
    assert sites(here) == {"shop": "ok"}


def test_a_401_that_concerns_one_callback_stops_no_other_and_that_callback_expires(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts
) -> None:
    far_side.fault("status", status=401, path="/v1/call", times=None)
    rejected = here.accepted()
    refused: list[tuple[str, int | None]] = []
    for wait in (None, 5, 15, 60, 300, 300):  # the schedule, with the largest jitter
        if wait is not None:
            clock.advance(seconds=wait * 1.2)
        refused.append(("unauthorized", 401))
        until(lambda: attempts(rejected) == refused and sites(here) == {"shop": "ok"})
        far_side.clear_faults()
        here.wait_for(here.accepted(), "placed")
        far_side.fault("status", status=401, path="/v1/call", times=None)
    assert len(far_side.requests(path="/v1/websites")) == len(refused), "one probe for each"
    clock.advance(hours=2)
    here.wait_for(rejected, "failed")
    assert attempts(rejected) == refused


@pytest.fixture
def two_accounts() -> Iterator[Chaser]:
    another = Account("9", "its-key", (Site(str(FOREIGN_SITE_ID), "of another account"),))
    with chaser(Options((DEMO_ACCOUNT, another))) as far_side:
        yield far_side


def test_a_site_that_chaser_forbids_stops_no_other(
    two_accounts: Chaser, tmp_path: Path, clock: Clock, attempts: Attempts
) -> None:
    wrong = {"site_id": FOREIGN_SITE_ID, "origins": [ORIGIN]}
    with service(
        settings(tmp_path, two_accounts.api_url, sites={"wrong": wrong}), clock=clock, poll_interval=AT_ONCE
    ) as here:
        forbidden = [here.accepted(site="wrong") for _ in range(3)]
        until(lambda: sites(here) == {"shop": "ok", "wrong": "paused"})
        until(lambda: all(here.status(callback_id) == "queued" for callback_id in forbidden))
        first_calls = len(two_accounts.requests(path="/v1/call", status="403"))
        for minute in range(1, 4):
            here.wait_for(here.accepted(), "placed")
            clock.advance(seconds=61)
            until(
                lambda minute=minute: (
                    sum(len(attempts(callback_id)) for callback_id in forbidden) == first_calls + minute
                )
            )
            until(lambda: all(here.status(callback_id) == "queued" for callback_id in forbidden))
            here.wait_for(here.accepted(), "placed")
            assert sites(here) == {"shop": "ok", "wrong": "paused"}
        assert here.http.get("/readyz").status_code == 200, "requests are still accepted"
    assert {outcome for callback_id in forbidden for outcome in attempts(callback_id)} == {("forbidden", 403)}
    assert len(two_accounts.requests(path="/v1/call", status="403")) == first_calls + 3, "one probe a minute"
    assert len(two_accounts.requests(path="/v1/websites")) == 1, "the account is probed once"


@pytest.mark.parametrize("others", [1, 3])
def test_a_paused_site_without_callbacks_does_not_keep_the_next_one_paused(
    far_side: Chaser, tmp_path: Path, clock: Clock, others: int
) -> None:
    paused = [f"paused{number}" for number in range(others)]
    more = {name: {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN]} for name in (*paused, "healthy")}
    # One call at once: at most one site can be probed at a time.
    narrow = settings(tmp_path, far_side.api_url, sites=more, calls_at_once=1)
    with service(narrow, clock=clock, poll_interval=AT_ONCE) as here:
        for name in (*paused, "shop"):
            far_side.fault("status", status=403, times=1, path="/v1/call")
            callback_id = here.accepted(site=name)
            until(lambda name=name: (sites(here)[name], sites(here)["healthy"]) == ("paused", "ok"))
            until(lambda callback_id=callback_id: here.status(callback_id) == "queued")
            if name != "shop":
                assert cancelled(tmp_path, callback_id), "so that no callback is due there"
        clock.advance(seconds=61)
        here.wait_for(callback_id, "placed")


def cancelled(folder: Path, callback_id: str) -> bool:
    with closing(sqlite3.connect(folder / "callbacks.db", timeout=10, isolation_level=None)) as database:
        change = "UPDATE callbacks SET status = 'cancelled', due_at = NULL WHERE id = ?"
        return database.execute(change, [callback_id]).rowcount == 1


def test_a_site_that_chaser_accepts_again_resumes_with_all_waiting_callbacks(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts
) -> None:
    far_side.fault("status", status=403, times=1, path="/v1/call")
    first = here.accepted()
    until(lambda: len(far_side.requests(path="/v1/websites")) == 1)
    until(lambda: attempts(first) == [("forbidden", 403)])
    assert sites(here) == {"shop": "paused"}
    others = [here.accepted() for _ in range(3)]
    clock.advance(seconds=61)
    for callback_id in (first, *others):
        here.wait_for(callback_id, "placed")
    assert attempts(first) == [("forbidden", 403), ("placed", 200)]
    assert [attempts(callback_id) for callback_id in others] == [[("placed", 200)]] * 3
    assert sites(here) == {"shop": "ok"}
