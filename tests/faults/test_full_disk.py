"""No room, or no right to write: no 202 without a commit, and accepting resumes by itself, without a restart."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults.crashing import Fate
from tests.faults.disks import SmallDisk
from tests.faults.doses import dose, note
from tests.faults.load import Crowd
from tests.faults.servers import Nursery, Replica, replicas
from tests.faults.world import World, world
from tests.running import until

TIMES = dose(1, 10)
PATIENT = {"chaser": {"timeout": "20s"}}
"""So long that on a busy machine no call becomes unknown for being slow."""


def suffer(
    here: World,
    replica: Replica,
    begin: Callable[[], None],
    end: Callable[[], None],
    scenario: str,
    *,
    told: bool = True,
) -> None:
    """Let nothing be written for a while, under load, and judge what came of it. ``told``: readiness says so."""
    pid = replica.pid
    with Crowd([replica.url], visitors=4) as crowd:
        for _ in range(TIMES):
            accept_more(crowd)
            refused = unavailable(crowd)
            begin()
            until(lambda refused=refused: unavailable(crowd) >= refused + 4, within=60)
            if told:
                until(lambda: replica.ready()["database"] == "unavailable")
            end()
            accept_more(crowd)
    assert not replica.died(), replica.output()[-3000:]
    here.settle()
    verdict = here.verdict(crowd.wishes)
    note(f"{scenario}, {TIMES} times", f"{verdict}; answers 503 {unavailable(crowd)}")
    assert not replica.died()
    assert replica.pid == pid, "the same process"
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests
    assert verdict.statuses.keys() == {"placed"}
    assert verdict.unknown == 0, "what could not be recorded at first was recorded later"


def accept_more(crowd: Crowd) -> None:
    before = accepted(crowd)
    until(lambda: accepted(crowd) > before + 10, within=30)


def accepted(crowd: Crowd) -> int:
    return sum(wish.seen == "ok" for wish in crowd.wishes)


def unavailable(crowd: Crowd) -> int:
    return sum(answer.status == 503 for wish in crowd.wishes for answer in wish.answers)


def test_a_full_disk(tmp_path: Path, nursery: Nursery) -> None:
    # Room for what ten rounds leave behind and for SQLite's log, which grows to 4 MB before it is folded in.
    disk = SmallDisk(tmp_path / "disk", dose("3m", "32m"))
    if not disk.allowed:
        # A machine that lets nobody mount: SQLite is told that there is no room, which it reports in the same words.
        told_to_sqlite(tmp_path, nursery, "full", "a full disk (as told to SQLite: mounting is forbidden here)")
        return
    url = f"sqlite:///{tmp_path / 'disk' / 'callbacks.db'}"
    with (
        world(tmp_path, url, **PATIENT) as here,
        replicas(nursery, tmp_path, here.settings, within=disk.command) as (replica,),
    ):
        here.read_sqlite = partial(disk.read_sqlite, replica.pid)
        suffer(
            here,
            replica,
            lambda: disk.fill(replica.pid),
            lambda: disk.make_room(replica.pid),
            "a full disk, SQLite on a tmpfs",
        )
        assert "database or disk is full" in replica.output()


def told_to_sqlite(folder: Path, nursery: Nursery, words: str, scenario: str) -> str:
    fate = Fate(folder)
    with world(folder, **PATIENT) as here, replicas(nursery, folder, here.settings, fate=fate) as (replica,):
        # The limit on pages lets those that are there be written anew, which is all that readiness tries.
        suffer(here, replica, lambda: fate.tell(words), fate.forget, scenario, told=words == "readonly")
        return replica.output()


@pytest.mark.parametrize(
    ("words", "cause"),
    [("full", "database or disk is full"), ("readonly", "attempt to write a readonly database")],
)
def test_sqlite_that_refuses_to_write(tmp_path: Path, nursery: Nursery, words: str, cause: str) -> None:
    assert cause in told_to_sqlite(tmp_path, nursery, words, f"SQLite says “{cause}”")
