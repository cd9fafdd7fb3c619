"""PostgreSQL is restarted repeatedly under load, cleanly and by a crash; three replicas lose nothing."""

import itertools
import time
from pathlib import Path

from tests.faults.doses import LONG, dose, note
from tests.faults.load import Crowd, new_request, send_with_retries
from tests.faults.servers import ForkServer, RestartedPostgreSQL, replicas
from tests.faults.world import world
from tests.running import until

RESTARTS = dose(3, 24)
INTERVAL = dose(1.5, 5.0)  # seconds
OUTAGES = dose(1, 5)
OUTAGE = 7.0  # seconds, long enough that every process notices


def test_restarts_of_postgresql_under_load_lose_nothing(
    tmp_path: Path, fork_server: ForkServer, own_postgresql: RestartedPostgreSQL
) -> None:
    with (
        world(tmp_path, own_postgresql.new_database()) as here,
        replicas(fork_server, tmp_path, here.settings, 3) as three,
    ):
        here.far_side.fault("slow", times=None, seconds=0.05, path="/v1/call")
        with Crowd([replica.url for replica in three]) as crowd:
            for mode in itertools.islice(itertools.cycle(("fast", "immediate")), RESTARTS):
                time.sleep(INTERVAL)
                own_postgresql.restart(mode)
            time.sleep(1)
        here.wait_until_finished(wait_for_leases=LONG)
        verdict = here.verdict(crowd.records)
        survived = [not replica.has_exited() for replica in three]
    note(f"{RESTARTS} restarts of PostgreSQL, three replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests
    assert verdict.statuses.keys() <= {"placed", "unknown"}
    assert all(survived)


def test_an_outage_longer_than_a_lease_makes_no_known_outcome_unknown(
    tmp_path: Path, fork_server: ForkServer, own_postgresql: RestartedPostgreSQL
) -> None:
    with (
        world(tmp_path, own_postgresql.new_database(), chaser={"timeout": "10s"}) as here,
        replicas(fork_server, tmp_path, here.settings, 2) as two,
    ):
        records = []
        for number in range(1, OUTAGES + 1):
            here.far_side.fault("slow", times=1, seconds=1.5, path="/v1/call")
            request = new_request()
            send_with_retries(request, [two[0].url])
            records.append(request.record)
            until(lambda number=number: len(here.far_side.requests(path="/v1/call")) == number)
            here.sql("UPDATE callbacks SET lease_until = clock_timestamp() + interval '1 s' WHERE status = 'sending'")
            with own_postgresql.stopped():
                time.sleep(OUTAGE)
            until(lambda: here.unfinished() == 0)
        verdict = here.verdict(records)
    note(f"{OUTAGES} outages of PostgreSQL longer than a lease, two replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.statuses == {"placed": OUTAGES}
    assert verdict.unknown == 0, "the process that had Chaser's answer was alive"
