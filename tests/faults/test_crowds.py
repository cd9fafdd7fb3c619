"""Concurrent requests: one request sent a hundred times is one callback, and a quota is never exceeded."""

from collections import Counter
from pathlib import Path

from app.simulator.options import DEMO_SITE_ID
from tests.databases import PostgreSQL
from tests.faults.doses import dose, note
from tests.faults.load import VisitorRequest, new_request, send_concurrently
from tests.faults.oracle import RequestRecord
from tests.faults.servers import ForkServer, replicas
from tests.faults.world import WIDE, world
from tests.running import ORIGIN, phone

TIMES = dose(1, 5)
SAME = 100
CROWD = 1000
CAP = 3
TRIES = 20
LONG_TIMEOUT = {"chaser": {"timeout": "20s"}}
"""Long enough that no call times out on a busy machine."""
SITES = {f"shop-{n}": {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN]} for n in range(CROWD)}


def test_a_hundred_concurrent_requests_with_the_same_key_are_one_callback(
    tmp_path: Path, fork_server: ForkServer, database_url: str
) -> None:
    records = []
    with world(tmp_path, database_url, **LONG_TIMEOUT) as here:
        count = 3 if here.on_postgresql else 1
        with replicas(fork_server, tmp_path, here.settings, count) as running:
            for _ in range(TIMES):
                first = new_request()
                copies = [VisitorRequest(first.nonce, first.body, first.headers, first.expected) for _ in range(SAME)]
                send_concurrently(copies, [replica.url for replica in running])
                answers = [answer for copy in copies for answer in copy.answers]
                assert [answer.status for answer in answers] == [202] * SAME
                records.append(RequestRecord(first.nonce, first.expected, answers))
            here.wait_until_finished()
            verdict = here.verdict(records)
    note(f"{TIMES} times {SAME} requests with one key at once, {count} replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.executed == TIMES


def test_of_a_thousand_concurrent_requests_for_one_phone_exactly_the_quota_is_accepted(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL
) -> None:
    quotas = WIDE | {"per_phone": f"{CAP}/hour;{CAP + 2}/day"}
    requests = []
    with (
        # Each for another site: a second request for the same phone and site would be a duplicate.
        world(tmp_path, postgresql.new_database(), quotas=quotas, sites={"shop": None} | SITES, **LONG_TIMEOUT) as here,
        replicas(fork_server, tmp_path, here.settings, 3) as three,
    ):
        for _ in range(TIMES):
            number = phone()
            crowd = [new_request(number, site) for site in SITES]
            waiting = crowd
            for _ in range(TRIES):  # on a busy machine some are answered 503 at first
                send_concurrently(waiting, [replica.url for replica in three])
                waiting = [request for request in waiting if request.answers[-1].status in (None, 503)]
                if not waiting:
                    break
            last = [request.answers[-1] for request in crowd]
            answers = Counter((answer.status, answer.code) for answer in last)
            assert answers == {(202, None): CAP, (429, "quota_phone"): CROWD - CAP}
            requests += crowd
        here.wait_until_finished()
        verdict = here.verdict([request.record for request in requests])
    note(f"{TIMES} times {CROWD} requests for one phone at once, cap {CAP}, three replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.executed == CAP * TIMES
