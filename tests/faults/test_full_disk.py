"""Full disk or read-only database: no 202 without a commit, and accepting resumes without a restart."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults.crashing import Failpoint
from tests.faults.disks import SmallDisk
from tests.faults.doses import dose, note
from tests.faults.load import Crowd
from tests.faults.servers import ForkServer, Replica, replicas
from tests.faults.world import World, world
from tests.running import until

TIMES = dose(1, 10)
LONG_TIMEOUT = {"chaser": {"timeout": "20s"}}
"""Long enough that no call times out on a busy machine."""


def check_outage(
    here: World,
    replica: Replica,
    begin: Callable[[], None],
    end: Callable[[], None],
    scenario: str,
    *,
    reported: bool = True,
) -> None:
    """Begin and end an outage under load, TIMES times, and check the verdict. `reported`: /readyz reports it."""
    pid = replica.pid
    with Crowd([replica.url], visitors=4) as crowd:
        for _ in range(TIMES):
            accept_more(crowd)
            refused = unavailable(crowd)
            begin()
            until(lambda refused=refused: unavailable(crowd) >= refused + 4, within=60)
            if reported:
                until(lambda: replica.ready()["status"] == "unavailable")
            end()
            accept_more(crowd)
    assert not replica.has_exited(), replica.output()[-3000:]
    here.wait_until_finished()
    verdict = here.verdict(crowd.records)
    note(f"{scenario}, {TIMES} times", f"{verdict}; answers 503 {unavailable(crowd)}")
    assert not replica.has_exited()
    assert replica.pid == pid, "the service was restarted"
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests
    assert verdict.statuses.keys() == {"placed"}
    assert verdict.unknown == 0, "an outcome that could not be recorded at first was not recorded later"


def accept_more(crowd: Crowd) -> None:
    before = accepted(crowd)
    until(lambda: accepted(crowd) > before + 10, within=30)


def accepted(crowd: Crowd) -> int:
    return sum(record.view == "ok" for record in crowd.records)


def unavailable(crowd: Crowd) -> int:
    return sum(answer.status == 503 for record in crowd.records for answer in record.answers)


def test_accepting_resumes_after_a_full_disk(tmp_path: Path, fork_server: ForkServer) -> None:
    # Space for the rows of ten rounds and for SQLite's write-ahead log, which grows to 4 MB before a checkpoint.
    disk = SmallDisk(tmp_path / "disk", dose("3m", "32m"))
    if not disk.allowed:
        # Without the right to mount, a page limit makes SQLite report the same error.
        limit_sqlite(tmp_path, fork_server, "full", "a full disk (by a limit in SQLite: mounting is forbidden here)")
        return
    url = f"sqlite:///{tmp_path / 'disk' / 'callbacks.db'}"
    with (
        world(tmp_path, url, **LONG_TIMEOUT) as here,
        replicas(fork_server, tmp_path, here.settings, command_prefix=disk.command) as (replica,),
    ):
        here.read_sqlite = partial(disk.read_sqlite, replica.pid)
        check_outage(
            here,
            replica,
            lambda: disk.fill(replica.pid),
            lambda: disk.make_room(replica.pid),
            "a full disk, SQLite on a tmpfs",
        )
        assert "database or disk is full" in replica.output()


def limit_sqlite(folder: Path, fork_server: ForkServer, action: str, scenario: str) -> str:
    failpoint = Failpoint(folder)
    with (
        world(folder, **LONG_TIMEOUT) as here,
        replicas(fork_server, folder, here.settings, failpoint=failpoint) as (replica,),
    ):
        # With the page limit, existing pages can still be rewritten, and readiness tries no more than that.
        check_outage(
            here,
            replica,
            lambda: failpoint.activate(action),
            failpoint.deactivate,
            scenario,
            reported=action == "readonly",
        )
        return replica.output()


@pytest.mark.parametrize(
    ("action", "cause"),
    [("full", "database or disk is full"), ("readonly", "attempt to write a readonly database")],
)
def test_accepting_resumes_after_sqlite_refused_to_write(
    tmp_path: Path, fork_server: ForkServer, action: str, cause: str
) -> None:
    assert cause in limit_sqlite(tmp_path, fork_server, action, f"SQLite says “{cause}”")
