"""Connections are lost during COMMIT under load: nothing is lost, written twice or answered wrongly."""

import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.databases import PostgreSQL
from tests.faults.doses import LONG, dose, note
from tests.faults.load import Crowd
from tests.faults.oracle import Verdict
from tests.faults.servers import ForkServer, Replica, replicas
from tests.faults.world import World, world
from tests.lossy_proxy import Fate, LossyProxy, lossy_proxy
from tests.running import until

LOSSES = dose(10, 200)
LOSSES_WITH_KILLS = dose(10, 200)
KILLS = dose(2, 40)
SHARE = 0.1  # of the COMMITs that lose their connection
FATES = (Fate.LOSE_REPLY, Fate.LOSE_REPLY, Fate.LOSE_COMMIT, Fate.DELAY)
WITHIN = dose(120, 1200)  # seconds


def lose_at_random(proxy: LossyProxy, losses: int) -> None:
    """Lose the connections of a share of the COMMITs from now on, until that many are lost."""
    lock = threading.Lock()
    left = losses

    def fate() -> Fate:
        nonlocal left
        with lock:
            if not left or random.random() > SHARE:
                return Fate.PASS
            left -= 1
            return random.choice(FATES)

    proxy.fate = fate


def judge(here: World, crowd: Crowd, proxy: LossyProxy, scenario: str) -> Verdict:
    here.wait_until_finished(wait_for_leases=LONG)
    verdict = here.verdict(crowd.records)
    fates = ", ".join(f"{proxy.lost.count(fate)} {fate}" for fate in sorted(set(proxy.lost)))
    unavailable = sum(answer.status == 503 for record in crowd.records for answer in record.answers)
    note(scenario, f"{verdict}; {fates}; {unavailable} answers 503")
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests, "a request was not accepted in spite of its retries"
    return verdict


def events(running: Sequence[Replica], name: str) -> list[str]:
    """Return the lines that the replicas have logged for an event."""
    return [line for replica in running for line in replica.output().splitlines() if name in line]


def test_commits_whose_connection_is_lost_under_load_are_neither_lost_nor_repeated(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL
) -> None:
    with (
        world(tmp_path, postgresql.new_database()) as here,
        lossy_proxy(here.database_url) as proxy,
        replicas(fork_server, tmp_path, here.settings | {"database_url": proxy.url}, 2) as both,
    ):
        lose_at_random(proxy, LOSSES)
        with Crowd([replica.url for replica in both]) as crowd:
            until(lambda: len(proxy.lost) == LOSSES, within=WITHIN)
        verdict = judge(here, crowd, proxy, f"{LOSSES} connections lost during COMMIT, two replicas")
        resolved, lease_lost = events(both, "outbox.commit_reply_lost"), events(both, "delivery.lease_lost")
    assert verdict.statuses.keys() == {"placed"}
    assert verdict.unknown == verdict.count("doubled") == 0, "every result reached its callback"
    assert 0 < len(resolved) <= LOSSES, "some were lost by the transactions that read a marker"
    assert lease_lost == [], "a result was written twice"


def test_commits_whose_connection_is_lost_are_safe_when_processes_are_killed_meanwhile(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL
) -> None:
    with (
        world(tmp_path, postgresql.new_database()) as here,
        lossy_proxy(here.database_url) as proxy,
        replicas(fork_server, tmp_path, here.settings | {"database_url": proxy.url}, 3) as three,
    ):
        here.far_side.fault("slow", times=None, seconds=0.05, path="/v1/call")
        lose_at_random(proxy, LOSSES_WITH_KILLS)
        with Crowd([replica.url for replica in three]) as crowd:
            for _ in range(KILLS):
                time.sleep(random.uniform(0.3, 1.0))
                killed = random.choice(three)
                killed.kill()
                killed.start()
            until(lambda: len(proxy.lost) == LOSSES_WITH_KILLS, within=WITHIN)
        verdict = judge(here, crowd, proxy, f"{LOSSES_WITH_KILLS} connections lost during COMMIT, {KILLS} kill -9")
        assert verdict.statuses.keys() <= {"placed", "unknown"}
        assert verdict.count("doubled") <= verdict.unknown
        check_cleanup(here, three)


def check_cleanup(here: World, running: Sequence[Replica]) -> None:
    """Check that the markers of dead processes are deleted after a day, and those of live ones stay."""
    assert markers(here) > len(running), "the killed processes have left theirs"
    here.sql("UPDATE writers SET updated_at = updated_at - interval '25 hours'")
    until(lambda: markers(here, "updated_at > now() - interval '1 day'") == len(running))
    running[0].terminate()
    running[0].start()  # it erases at the start, then every hour
    until(lambda: markers(here, "updated_at < now() - interval '1 day'") == 0)
    assert markers(here) <= len(running) + 1


def markers(here: World, condition: str = "true") -> int:
    ((count,),) = here.sql(f"SELECT count(*) FROM writers WHERE {condition}")
    return int(count)
