"""A replica is stopped and resumed later: it overwrites nothing of the others, and doesn't block them."""

import random
import threading
import time
from pathlib import Path

import pytest

from tests.databases import PostgreSQL
from tests.faults.crashing import Failpoint
from tests.faults.doses import LONG, dose, note
from tests.faults.load import Crowd, new_request, send_once, send_with_retries
from tests.faults.oracle import RequestRecord
from tests.faults.servers import ForkServer, Replica, replicas
from tests.faults.world import World, world
from tests.running import until

STOPS = dose(2, 20)


def status(here: World, nonce: str) -> str:
    (status,) = [row.status for row in here.stored() if row.nonce == nonce]
    return status


def exceed_lease(here: World, first: Replica, second: Replica, *, until_sent_again: bool) -> RequestRecord:
    """Stop the first replica during a call for longer than its lease, so that the second one recovers it."""
    request = new_request()
    here.far_side.fault("slow", seconds=0.9, path="/v1/call")
    arrived = len(here.far_side.requests(path="/v1/call"))
    send_with_retries(request, [first.url])
    until(lambda: len(here.far_side.requests(path="/v1/call")) > arrived)
    first.pause()
    second.start()
    if not LONG:
        here.expire_leases(older_than=0)
    until(lambda: status(here, request.nonce) == "unknown", within=60)
    if until_sent_again:
        until(lambda: status(here, request.nonce) == "placed")
    first.resume()
    until(lambda: request.answers[0].callback_id in lease_lost_events(first))
    here.wait_until_finished()
    assert here.outcomes(request.nonce) == ("unknown", "placed")
    second.terminate()
    return request.record


def lease_lost_events(replica: Replica) -> str:
    return "\n".join(line for line in replica.output().splitlines() if "delivery.lease_lost" in line)


def test_a_replica_stopped_past_its_lease_overwrites_nothing(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL
) -> None:
    with (
        world(tmp_path, postgresql.new_database(), resend_after="2s") as here,
        replicas(fork_server, tmp_path, here.settings) as (first,),
    ):
        second = Replica(fork_server, tmp_path, here.settings)
        try:
            records = [
                exceed_lease(here, first, second, until_sent_again=sent_again)
                for sent_again in (False, True) * dose(1, 3)
            ]
        finally:
            second.kill()
        verdict = here.verdict(records)
    note(f"{len(records)} times SIGSTOP past the lease, PostgreSQL", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.unknown == verdict.count("doubled") == len(records)


@pytest.mark.parametrize("kind", dose(["accept"], ["accept", "claim", "record"]))
def test_a_replica_stopped_inside_a_transaction_does_not_block_others_for_long(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL, kind: str
) -> None:
    failpoint = Failpoint(tmp_path)
    with (
        world(tmp_path, postgresql.new_database()) as here,
        replicas(fork_server, tmp_path, here.settings, failpoint=failpoint) as (stopped,),
        replicas(fork_server, tmp_path, here.settings) as (other,),
    ):
        failpoint.activate(f"{kind} before SIGSTOP")
        requests = [new_request(), new_request()]
        waiting = threading.Thread(target=send_with_retries, args=(requests[0], [stopped.url]))
        waiting.start()
        try:
            until(lambda: failpoint.triggered)
            answer = send_once(requests[1], other.url, timeout=9)
        finally:
            stopped.resume()
            waiting.join()
        here.wait_until_finished()
        verdict = here.verdict([request.record for request in requests])
    note(f"SIGSTOP inside a transaction ({kind}), PostgreSQL", f"{verdict}; the other waited {answer.seconds:.1f} s")
    assert answer.status == 202, "no answer within 9 s"
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == 2


def test_a_replica_stopped_at_random_times_under_load_loses_nothing(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL
) -> None:
    with (
        world(tmp_path, postgresql.new_database()) as here,
        replicas(fork_server, tmp_path, here.settings, 3) as three,
    ):
        here.far_side.fault("slow", times=None, seconds=0.05, path="/v1/call")
        with Crowd([replica.url for replica in three], timeout=1.5) as crowd:
            for _ in range(STOPS):
                stopped = random.choice(three)
                time.sleep(random.uniform(0.2, 0.6))
                stopped.pause()
                time.sleep(random.uniform(1, dose(3, 7)))
                stopped.resume()
        here.wait_until_finished(wait_for_leases=LONG)
        verdict = here.verdict(crowd.records)
    note(f"{STOPS} times SIGSTOP at random times, PostgreSQL, three replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests
