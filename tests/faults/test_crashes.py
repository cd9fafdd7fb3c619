"""The process is killed at each boundary of a callback's life; each boundary has its exact result."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.faults.crashing import Failpoint
from tests.faults.doses import dose, note
from tests.faults.load import VisitorRequest, new_request, send_with_retries
from tests.faults.oracle import RequestRecord, Verdict
from tests.faults.servers import ForkServer, Replica, replicas
from tests.faults.world import World, world
from tests.running import until

TIMES = dose(1, 5)


class Boundary(NamedTuple):
    """A crash point: the action of the failpoint, the final outcomes of the attempts, and the number of calls."""

    action: str
    outcomes: tuple[str, ...]
    executed: int


# After a crash past the claim, nothing shows whether the request was sent: the outcome is unknown.
BY_COMMIT = {
    "before the commit of accept": Boundary("accept before SIGKILL", ("placed",), 1),
    "after the commit of accept": Boundary("accept after SIGKILL", ("placed",), 1),
    "before the commit of claim": Boundary("claim before SIGKILL", ("placed",), 1),
    "after the commit of claim": Boundary("claim after SIGKILL", ("unknown", "placed"), 1),
    "after the 200, before the commit of record": Boundary("record before SIGKILL", ("unknown", "placed"), 2),
    "after the commit of record": Boundary("record after SIGKILL", ("placed",), 1),
}
AFTER_THE_FIRST_BYTE = {"hang_before": 1, "hang_after": 2}  # fault of the simulator: number of calls in the end


class CrashScenario:
    """One replica that is crashed and restarted, and a visitor that sends one request each time."""

    def __init__(self, here: World, replica: Replica, failpoint: Failpoint) -> None:
        self._here = here
        self._replica = replica
        self._fate = failpoint
        self.records: list[RequestRecord] = []

    def crash(self, action: str) -> VisitorRequest:
        """Crash at a boundary of a transaction."""
        self._fate.activate(action)
        return self._send_and_crash(self._replica.has_exited)

    def crash_after_the_first_byte(self, fault: str) -> VisitorRequest:
        """Kill the replica while it waits for the answer of Chaser, which has read the request."""
        before = len(self._here.far_side.requests(path="/v1/call"))
        self._here.far_side.fault(fault, path="/v1/call")
        return self._send_and_crash(
            lambda: len(self._here.far_side.requests(path="/v1/call")) > before, then=self._replica.kill
        )

    def _send_and_crash(self, condition: Callable[[], bool], then: Callable[[], None] = lambda: None) -> VisitorRequest:
        request = new_request()
        visitor = threading.Thread(target=send_with_retries, args=(request, [self._replica.url]))
        visitor.start()
        try:
            until(condition)
            then()
            assert self._fate.triggered
            self._here.expire_leases(older_than=0)
            self._replica.start()
        finally:
            visitor.join()
        self._here.wait_until_finished()
        self.records.append(request.record)
        return request


def crash_everywhere(here: World, replica: Replica, failpoint: Failpoint) -> Verdict:
    scenario = CrashScenario(here, replica, failpoint)
    for name, boundary in BY_COMMIT.items():
        for _ in range(TIMES):
            request = scenario.crash(boundary.action)
            assert here.outcomes(request.nonce) == boundary.outcomes, name
            assert calls(here, request) == boundary.executed, name
    for fault, executed in AFTER_THE_FIRST_BYTE.items():
        for _ in range(TIMES):
            request = scenario.crash_after_the_first_byte(fault)
            assert here.outcomes(request.nonce) == ("unknown", "placed"), fault
            assert calls(here, request) == executed, fault
    return here.verdict(scenario.records)


def calls(here: World, request: VisitorRequest) -> int:
    return sum(call.nonce == request.nonce for call in here.executed())


def test_a_crash_at_every_boundary_loses_nothing(tmp_path: Path, fork_server: ForkServer, database_url: str) -> None:
    failpoint = Failpoint(tmp_path)
    with (
        world(tmp_path, database_url) as here,
        replicas(fork_server, tmp_path, here.settings, failpoint=failpoint) as (replica,),
    ):
        verdict = crash_everywhere(here, replica, failpoint)
    note(f"a crash at each of 8 boundaries, {TIMES} times, {'PostgreSQL' if here.on_postgresql else 'SQLite'}", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests == 8 * TIMES
    # At two of the boundaries a call was executed, but not recorded.
    assert verdict.count("doubled") == 2 * TIMES
    assert verdict.unknown == 4 * TIMES
