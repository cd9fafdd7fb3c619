"""Chaser refuses the account for minutes: nothing is burned, everybody is told, delivery resumes by itself."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from tests.faults.doses import LONG, note
from tests.faults.load import Crowd
from tests.faults.servers import Nursery, replicas
from tests.faults.world import World, world
from tests.running import Clock, service, settings, until

MINUTES = 2
CONCURRENCY = 16  # calls under way at once, so as many may be refused before the first refusal is known


@contextlib.contextmanager
def running(here: World, nursery: Nursery) -> Iterator[tuple[str, Callable[[], None]]]:
    """Run the service; gives its address, and what lets a minute pass: in a short dose a clock that is set."""
    if LONG:
        with replicas(nursery, here.folder, here.settings) as (replica,):
            yield replica.url, lambda: time.sleep(61)
    else:
        clock = Clock()
        with service(settings(here.folder, here.far_side.api_url, calls_per_second=1000), clock=clock) as started:
            yield started.url, lambda: clock.advance(seconds=61)


def test_401_for_two_minutes_burns_no_attempts_and_ends_by_itself(tmp_path: Path, nursery: Nursery) -> None:
    with world(tmp_path) as here, running(here, nursery) as (url, a_minute):
        here.far_side.fault("status", status=401, times=None)
        with Crowd([url], visitors=4, pause=0.5 if LONG else 0.1) as crowd:
            until(lambda: ready(url)["sites"] == {"shop": "paused"})
            for _ in range(MINUTES):
                probes = count(here, "/v1/websites")
                a_minute()
                until(lambda probes=probes: count(here, "/v1/websites") > probes)
                assert ready(url)["sites"] == {"shop": "paused"}
                assert ready(url)["status"] == "ok", "requests are accepted, and wait"
            refused = count(here, "/v1/call")
            here.far_side.well_again()
            a_minute()
            until(lambda: ready(url)["sites"] == {"shop": "ok"})
        here.settle()
        verdict = here.verdict(crowd.wishes)
        outcomes = [outcome for row in here.stored() for outcome in row.outcomes]
    note(f"401 for {MINUTES} minutes", f"{verdict}; refused calls {refused}, all before the pause")
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests == verdict.executed
    assert outcomes.count("unauthorized") == refused <= CONCURRENCY
    assert outcomes.count("placed") == verdict.executed == len(outcomes) - refused


def count(here: World, path: str) -> int:
    return len(here.far_side.requests(path=path))


def ready(url: str) -> dict[str, Any]:
    body: dict[str, Any] = httpx2.get(f"{url}/readyz").json()
    return body
