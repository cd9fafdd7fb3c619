"""PostgreSQL is restarted again and again under load, in order and by a crash; three replicas come through it."""

import itertools
import time
from pathlib import Path

from tests.faults.doses import LONG, dose, note
from tests.faults.load import Crowd
from tests.faults.servers import Nursery, RestartedPostgreSQL, replicas
from tests.faults.world import world

RESTARTS = dose(3, 24)
APART = dose(1.5, 5.0)  # seconds


def test_postgresql_restarts_under_load(tmp_path: Path, nursery: Nursery, own_postgresql: RestartedPostgreSQL) -> None:
    with (
        world(tmp_path, own_postgresql.new_database()) as here,
        replicas(nursery, tmp_path, here.settings, 3) as three,
    ):
        here.far_side.fault("slow", times=None, seconds=0.05, path="/v1/call")
        with Crowd([replica.url for replica in three]) as crowd:
            for mode in itertools.islice(itertools.cycle(("fast", "immediate")), RESTARTS):
                time.sleep(APART)
                own_postgresql.restart(mode)
            time.sleep(1)
        here.settle(really_wait=LONG)
        verdict = here.verdict(crowd.wishes)
        survived = [not replica.died() for replica in three]
    note(f"{RESTARTS} restarts of PostgreSQL, three replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests
    assert verdict.statuses.keys() <= {"delivered", "unknown"}
    assert all(survived)
