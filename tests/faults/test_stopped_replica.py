"""A replica that stands still and later goes on: it changes nothing that others did meanwhile, and blocks nobody."""

import random
import threading
import time
from pathlib import Path

import pytest

from tests.databases import PostgreSQL
from tests.faults.crashing import Fate
from tests.faults.doses import LONG, dose, note
from tests.faults.load import Crowd, ask_once, insist, new_wish
from tests.faults.oracle import Wish
from tests.faults.servers import Nursery, Replica, replicas
from tests.faults.world import World, world
from tests.running import until

STOPS = dose(2, 20)


def status(here: World, nonce: str) -> str:
    (found,) = [row.status for row in here.stored() if row.nonce == nonce]
    return found


def oversleep(here: World, first: Replica, second: Replica, *, until_sent_again: bool) -> Wish:
    """Stop the first replica while its call is under way, for longer than its lease; the second looks after it."""
    asking = new_wish()
    here.far_side.fault("slow", seconds=0.9, path="/v1/call")
    arrived = len(here.far_side.requests(path="/v1/call"))
    insist(asking, [first.url])
    until(lambda: len(here.far_side.requests(path="/v1/call")) > arrived)
    first.pause()
    second.start()
    if not LONG:
        here.let_leases_pass(older_than=0)
    until(lambda: status(here, asking.nonce) == "unknown", within=60)
    if until_sent_again:
        until(lambda: status(here, asking.nonce) == "placed")
    first.go_on()
    until(lambda: asking.answers[0].callback_id in lease_lost(first))
    here.settle()
    assert here.outcomes(asking.nonce) == ("unknown", "placed")
    second.terminate()
    return asking.wish


def lease_lost(replica: Replica) -> str:
    return "\n".join(line for line in replica.output().splitlines() if "delivery.lease_lost" in line)


def test_a_replica_stopped_past_its_lease_changes_nothing(
    tmp_path: Path, nursery: Nursery, postgresql: PostgreSQL
) -> None:
    with (
        world(tmp_path, postgresql.new_database(), resend_after="2s") as here,
        replicas(nursery, tmp_path, here.settings) as (first,),
    ):
        second = Replica(nursery, tmp_path, here.settings)
        try:
            wishes = [
                oversleep(here, first, second, until_sent_again=sent_again) for sent_again in (False, True) * dose(1, 3)
            ]
        finally:
            second.kill()
        verdict = here.verdict(wishes)
    note(f"{len(wishes)} times SIGSTOP past the lease, PostgreSQL", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.unknown == verdict.count("doubled") == len(wishes)


@pytest.mark.parametrize("kind", dose(["accept"], ["accept", "claim", "record"]))
def test_a_replica_stopped_inside_a_transaction_blocks_nobody_for_long(
    tmp_path: Path, nursery: Nursery, postgresql: PostgreSQL, kind: str
) -> None:
    fate = Fate(tmp_path)
    with (
        world(tmp_path, postgresql.new_database()) as here,
        replicas(nursery, tmp_path, here.settings, fate=fate) as (stopped,),
        replicas(nursery, tmp_path, here.settings) as (other,),
    ):
        fate.tell(f"{kind} before SIGSTOP")
        visitors = [new_wish(), new_wish()]
        waiting = threading.Thread(target=insist, args=(visitors[0], [stopped.url]))
        waiting.start()
        try:
            until(lambda: fate.met)
            answer = ask_once(visitors[1], other.url, timeout=9)
        finally:
            stopped.go_on()
            waiting.join()
        here.settle()
        verdict = here.verdict([visitor.wish for visitor in visitors])
    note(f"SIGSTOP inside a transaction ({kind}), PostgreSQL", f"{verdict}; the other waited {answer.seconds:.1f} s")
    assert answer.status == 202, "no answer within 9 s"
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == 2


def test_a_replica_stopped_at_random_moments_under_load(
    tmp_path: Path, nursery: Nursery, postgresql: PostgreSQL
) -> None:
    with (
        world(tmp_path, postgresql.new_database()) as here,
        replicas(nursery, tmp_path, here.settings, 3) as three,
    ):
        here.far_side.fault("slow", times=None, seconds=0.05, path="/v1/call")
        with Crowd([replica.url for replica in three], timeout=1.5) as crowd:
            for _ in range(STOPS):
                stopped = random.choice(three)
                time.sleep(random.uniform(0.2, 0.6))
                stopped.pause()
                time.sleep(random.uniform(1, dose(3, 7)))
                stopped.go_on()
        here.settle(really_wait=LONG)
        verdict = here.verdict(crowd.wishes)
    note(f"{STOPS} times SIGSTOP at random moments, PostgreSQL, three replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.requests
