"""PostgreSQL is restarted again and again under load, in order and by a crash; three replicas come through it."""

import itertools
import time
from pathlib import Path

from tests.faults.doses import LONG, dose, note
from tests.faults.load import Crowd, insist, new_wish
from tests.faults.servers import Nursery, RestartedPostgreSQL, replicas
from tests.faults.world import world
from tests.running import until

RESTARTS = dose(3, 24)
APART = dose(1.5, 5.0)  # seconds
OUTAGES = dose(1, 5)
OUTAGE = 7.0  # seconds, so that every process has noticed


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
    assert verdict.statuses.keys() <= {"placed", "unknown"}
    assert all(survived)


def test_an_outage_longer_than_a_lease_takes_nothing_from_what_is_known(
    tmp_path: Path, nursery: Nursery, own_postgresql: RestartedPostgreSQL
) -> None:
    with (
        world(tmp_path, own_postgresql.new_database(), chaser={"timeout": "10s"}) as here,
        replicas(nursery, tmp_path, here.settings, 2) as two,
    ):
        wishes = []
        for number in range(1, OUTAGES + 1):
            here.far_side.fault("slow", times=1, seconds=1.5, path="/v1/call")
            asking = new_wish()
            insist(asking, [two[0].url])
            wishes.append(asking.wish)
            until(lambda number=number: len(here.far_side.requests(path="/v1/call")) == number)
            here.sql("UPDATE callbacks SET lease_until = clock_timestamp() + interval '1 s' WHERE status = 'sending'")
            with own_postgresql.away():
                time.sleep(OUTAGE)
            until(lambda: here.in_flight() == 0)
        verdict = here.verdict(wishes)
    note(f"{OUTAGES} outages of PostgreSQL longer than a lease, two replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.statuses == {"placed": OUTAGES}
    assert verdict.unknown == 0, "Chaser had answered, and the process that knew it was alive"
