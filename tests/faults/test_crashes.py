"""The process ends at every boundary of a callback's life; each leaves behind exactly what the boundary says."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.faults.crashing import Fate
from tests.faults.doses import dose, note
from tests.faults.load import Asking, insist, new_wish
from tests.faults.oracle import Verdict, Wish
from tests.faults.servers import Nursery, Replica, replicas
from tests.faults.world import World, world
from tests.running import until

TIMES = dose(1, 5)


class Boundary(NamedTuple):
    """A place to crash at: what is told to the replica, the outcomes of the attempts in the end, and the calls."""

    fate: str
    outcomes: tuple[str, ...]
    executed: int


# A crash after the claim is one after the first byte, for all that anybody can know later.
BY_COMMIT = {
    "before the commit of accept": Boundary("accept before SIGKILL", ("placed",), 1),
    "after the commit of accept": Boundary("accept after SIGKILL", ("placed",), 1),
    "before the commit of claim": Boundary("claim before SIGKILL", ("placed",), 1),
    "after the commit of claim": Boundary("claim after SIGKILL", ("unknown", "placed"), 1),
    "after the 200, before the commit of record": Boundary("record before SIGKILL", ("unknown", "placed"), 2),
    "after the commit of record": Boundary("record after SIGKILL", ("placed",), 1),
}
AFTER_THE_FIRST_BYTE = {"hang_before": 1, "hang_after": 2}  # a fault of the simulator, and the calls in the end


class Scene:
    """One replica that is crashed and started again, and a visitor who asks once each time."""

    def __init__(self, here: World, replica: Replica, fate: Fate) -> None:
        self._here = here
        self._replica = replica
        self._fate = fate
        self.wishes: list[Wish] = []

    def crash(self, words: str) -> Asking:
        """Crash at a boundary of the database."""
        self._fate.tell(words)
        return self._play(self._replica.died)

    def crash_after_the_first_byte(self, fault: str) -> Asking:
        """Crash while Chaser, that has read the request, doesn't answer."""
        before = len(self._here.far_side.requests(path="/v1/call"))
        self._here.far_side.fault(fault, path="/v1/call")
        return self._play(lambda: len(self._here.far_side.requests(path="/v1/call")) > before, then=self._replica.kill)

    def _play(self, happened: Callable[[], bool], then: Callable[[], None] = lambda: None) -> Asking:
        asking = new_wish()
        visitor = threading.Thread(target=insist, args=(asking, [self._replica.url]))
        visitor.start()
        try:
            until(happened)
            then()
            assert self._fate.met
            self._here.let_leases_pass(older_than=0)
            self._replica.start()
        finally:
            visitor.join()
        self._here.settle()
        self.wishes.append(asking.wish)
        return asking


def crash_everywhere(here: World, replica: Replica, fate: Fate) -> Verdict:
    scene = Scene(here, replica, fate)
    for name, boundary in BY_COMMIT.items():
        for _ in range(TIMES):
            asking = scene.crash(boundary.fate)
            assert here.outcomes(asking.nonce) == boundary.outcomes, name
            assert calls(here, asking) == boundary.executed, name
    for fault, executed in AFTER_THE_FIRST_BYTE.items():
        for _ in range(TIMES):
            asking = scene.crash_after_the_first_byte(fault)
            assert here.outcomes(asking.nonce) == ("unknown", "placed"), fault
            assert calls(here, asking) == executed, fault
    return here.verdict(scene.wishes)


def calls(here: World, asking: Asking) -> int:
    return sum(call.nonce == asking.nonce for call in here.executed())


def test_a_crash_at_every_boundary_loses_nothing(tmp_path: Path, nursery: Nursery, database_url: str) -> None:
    fate = Fate(tmp_path)
    with (
        world(tmp_path, database_url) as here,
        replicas(nursery, tmp_path, here.settings, fate=fate) as (replica,),
    ):
        verdict = crash_everywhere(here, replica, fate)
    note(f"a crash at each of 8 boundaries, {TIMES} times, {'PostgreSQL' if here.on_postgresql else 'SQLite'}", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests == 8 * TIMES
    # Two of the boundaries leave a call behind that was executed and not recorded.
    assert verdict.count("doubled") == 2 * TIMES
    assert verdict.unknown == 4 * TIMES
