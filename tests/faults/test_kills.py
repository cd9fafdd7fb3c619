"""kill -9 at random times under load: nothing lost, stuck or altered; second calls only after unknown outcomes."""

import random
from pathlib import Path

from tests.databases import PostgreSQL
from tests.faults.doses import LONG, dose, note
from tests.faults.load import Crowd
from tests.faults.servers import ForkServer, Replica, replicas, sleep_random
from tests.faults.world import World, world

KILLS_SQLITE = dose(10, 300)
KILLS_POSTGRESQL = dose(5, 100)


def kill_and_restart(replica: Replica) -> None:
    """Kill and restart a replica. In a fifth of the cases without waiting, so that the next kill may hit its start."""
    sleep_random(0.1, 1.0)
    replica.kill()
    replica.start(wait=random.random() < 0.8)


def judge(here: World, crowd: Crowd, scenario: str) -> None:
    here.wait_until_finished(wait_for_leases=LONG)
    verdict = here.verdict(crowd.records)
    note(scenario, verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests, "a request was not accepted in spite of its retries"
    assert verdict.statuses.keys() <= {"placed", "unknown"}
    assert verdict.count("doubled") <= verdict.unknown


def test_kill_9_at_random_times_on_sqlite_loses_nothing(tmp_path: Path, fork_server: ForkServer) -> None:
    with world(tmp_path) as here, replicas(fork_server, tmp_path, here.settings) as (replica,):
        here.far_side.fault("slow", times=None, seconds=0.05, path="/v1/call")
        with Crowd([replica.url]) as crowd:
            for _ in range(KILLS_SQLITE):
                kill_and_restart(replica)
                here.executed()
        replica.wait_until_up()
        judge(here, crowd, f"{KILLS_SQLITE} kill -9, SQLite")


def test_kill_9_of_one_of_three_replicas_on_postgresql_loses_nothing(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL
) -> None:
    with (
        world(tmp_path, postgresql.new_database()) as here,
        replicas(fork_server, tmp_path, here.settings, 3) as three,
    ):
        here.far_side.fault("slow", times=None, seconds=0.05, path="/v1/call")
        with Crowd([replica.url for replica in three]) as crowd:
            for _ in range(KILLS_POSTGRESQL):
                kill_and_restart(random.choice(three))
                here.executed()
        for replica in three:
            replica.wait_until_up()
        judge(here, crowd, f"{KILLS_POSTGRESQL} kill -9, PostgreSQL, three replicas")
