"""Chaser refuses the account for minutes: no attempt is wasted, readiness reports it, delivery resumes by itself."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from tests.faults.doses import LONG, note
from tests.faults.load import Crowd
from tests.faults.servers import ForkServer, replicas
from tests.faults.world import World, world
from tests.running import AT_ONCE, AUTHORIZED, Clock, service, settings, until

MINUTES = 2
CONCURRENCY = 16  # calls in flight: as many can be refused before the first refusal is recorded


@contextlib.contextmanager
def running(here: World, fork_server: ForkServer) -> Iterator[tuple[str, Callable[[], None]]]:
    """Run the service and yield its URL and a function that lets a minute pass: in a short dose by setting a clock."""
    if LONG:
        with replicas(fork_server, here.folder, here.settings) as (replica,):
            yield replica.url, lambda: time.sleep(61)
    else:
        clock = Clock()
        chosen = settings(here.folder, here.far_side.api_url, calls_per_second=1000)
        with service(chosen, clock=clock, poll_interval=AT_ONCE) as started:
            yield started.url, lambda: clock.advance(seconds=61)


def test_401_for_two_minutes_wastes_no_attempts_and_delivery_resumes(tmp_path: Path, fork_server: ForkServer) -> None:
    with world(tmp_path) as here, running(here, fork_server) as (url, a_minute):
        here.far_side.fault("status", status=401, times=None)
        with Crowd([url], visitors=4, pause=0.5 if LONG else 0.1) as crowd:
            until(lambda: ready(url)["sites"] == {"shop": "paused"})
            for _ in range(MINUTES):
                probes = count(here, "/v1/websites")
                a_minute()
                until(lambda probes=probes: count(here, "/v1/websites") > probes)
                assert ready(url)["sites"] == {"shop": "paused"}
                assert ready(url)["status"] == "ok", "requests must be accepted and queued meanwhile"
            refused = count(here, "/v1/call")
            here.far_side.clear_faults()
            a_minute()
            until(lambda: ready(url)["sites"] == {"shop": "ok"})
        here.wait_until_finished()
        verdict = here.verdict(crowd.records)
        outcomes = [outcome for row in here.stored() for outcome in row.outcomes]
    note(f"401 for {MINUTES} minutes", f"{verdict}; refused calls {refused}, all before the pause")
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests == verdict.executed
    assert outcomes.count("unauthorized") == refused <= CONCURRENCY
    assert outcomes.count("placed") == verdict.executed == len(outcomes) - refused


def count(here: World, path: str) -> int:
    return len(here.far_side.requests(path=path))


def ready(url: str) -> dict[str, Any]:
    body: dict[str, Any] = httpx2.get(f"{url}/readyz", headers=AUTHORIZED).json()
    return body
