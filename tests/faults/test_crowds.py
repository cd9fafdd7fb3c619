"""Concurrent requests: one request sent a hundred times is one callback, and each limit is reached exactly."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.simulator.options import DEMO_SITE_ID
from tests.databases import PostgreSQL
from tests.faults.doses import dose, note
from tests.faults.load import VisitorRequest, new_request, send_concurrently
from tests.faults.oracle import RequestRecord
from tests.faults.servers import ForkServer, Replica, replicas
from tests.faults.world import WIDE, world
from tests.running import ORIGIN, phone

TIMES = dose(1, 5)
SAME = 100
CROWD = 1000
CAP = 3
TRIES = 20
LONG_TIMEOUT = {"chaser": {"timeout": "20s"}}
"""Long enough that no call times out on a busy machine."""
SITE = {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN], "working_hours": "mon-sun 00:00-24:00"}
SITES = {f"shop-{n}": SITE for n in range(CROWD)}
FULL_SITES, ADDRESSES, NUMBERS = 5, 20, 30
BUDGET, OF_ADDRESS = 12, 4

_networks = itertools.count()


def test_a_hundred_concurrent_requests_with_the_same_key_are_one_callback(
    tmp_path: Path, fork_server: ForkServer, database_url: str
) -> None:
    records = []
    with world(tmp_path, database_url, **LONG_TIMEOUT) as here:
        count = 3 if here.on_postgresql else 1
        with replicas(fork_server, tmp_path, here.settings, count) as running:
            for _ in range(TIMES):
                first = new_request()
                copies = [replace(first, answers=[]) for _ in range(SAME)]
                send_concurrently(copies, [replica.url for replica in running])
                answers = [answer for copy in copies for answer in copy.answers]
                assert [answer.status for answer in answers] == [202] * SAME
                records.append(RequestRecord(first.nonce, first.expected, answers))
            here.wait_until_finished()
            verdict = here.verdict(records)
    note(f"{TIMES} times {SAME} requests with one key at once, {count} replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.executed == TIMES


def send_until_answered(crowd: Sequence[VisitorRequest], running: Sequence[Replica]) -> None:
    """Send all requests at once, spread over the replicas, and again those that a busy machine answered with 503."""
    waiting = list(crowd)
    for _ in range(TRIES):
        send_concurrently(waiting, [replica.url for replica in running])
        waiting = [request for request in waiting if request.answers[-1].status in (None, 503)]
        if not waiting:
            return


def visit(number: str, site: str, address: str | None = None) -> VisitorRequest:
    """Create the request of a visitor, by default from a network of their own."""
    return new_request(number, site, address or new_address())


def new_address() -> str:
    """Return an address in a network that no other request uses."""
    n = next(_networks)
    return f"127.{210 + n // 250}.{n % 250}.1"


def answers_of(requests: Sequence[VisitorRequest]) -> Counter[tuple[int | None, str | None]]:
    """Count the last answers by status and code."""
    last = [request.answers[-1] for request in requests]
    return Counter((answer.status, answer.code) for answer in last)


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
            send_until_answered(crowd, three)
            assert answers_of(crowd) == {(202, None): CAP, (429, "quota_phone"): CROWD - CAP}
            requests += crowd
        here.wait_until_finished()
        verdict = here.verdict([request.record for request in requests])
    note(f"{TIMES} times {CROWD} requests for one phone at once, cap {CAP}, three replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.executed == CAP * TIMES


def test_the_caps_of_phones_sites_and_addresses_are_exact_over_three_replicas(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL
) -> None:
    quotas = WIDE | {"per_phone": f"{CAP}/hour"}
    plain = {f"plain-{n}": SITE for n in range(8)}
    full = {f"full-{n}": SITE | {"quotas": {"per_site": f"{BUDGET}/hour"}} for n in range(FULL_SITES)}
    counted = {"counted": SITE | {"quotas": {"per_address": f"{OF_ADDRESS}/hour"}}}
    sites = {"shop": None} | plain | full | counted
    with (
        world(tmp_path, postgresql.new_database(), quotas=quotas, sites=sites, **LONG_TIMEOUT) as here,
        replicas(fork_server, tmp_path, here.settings, 3) as three,
    ):
        for _ in range(TIMES):
            of_phones = [[visit(number, site) for site in plain] for number in (phone() for _ in range(NUMBERS))]
            of_sites = [[visit(phone(), site) for _ in range(2 * BUDGET)] for site in full] if not here.stored() else []
            own = [new_address() for _ in range(ADDRESSES)]
            of_addresses = [[visit(phone(), "counted", address) for _ in range(2 * OF_ADDRESS)] for address in own]
            crowd = [request for group in (*of_phones, *of_sites, *of_addresses) for request in group]
            random.shuffle(crowd)
            send_until_answered(crowd, three)
            for group in of_phones:
                assert answers_of(group) == {(202, None): CAP, (429, "quota_phone"): len(group) - CAP}
            for group in of_addresses:
                assert answers_of(group) == {(202, None): OF_ADDRESS, (429, "quota_client"): OF_ADDRESS}
            for group in of_sites:
                assert answers_of(group) == {(202, None): 2 * BUDGET}, "a visitor isn't told that theirs is held"
        here.wait_until_finished()
        held = Counter(here.sql("SELECT site, held_for FROM callbacks WHERE status = 'held'"))
        rang = Counter(site for (site,) in here.sql("SELECT site FROM callbacks WHERE status = 'placed'"))
        assert held == {(site, "site_budget"): BUDGET for site in full}
        assert {site: rang[site] for site in full} == dict.fromkeys(full, BUDGET)
        executed = len(here.executed())
    expected = TIMES * (NUMBERS * CAP + ADDRESSES * OF_ADDRESS) + FULL_SITES * BUDGET
    note(f"{TIMES} times {NUMBERS} phones, {ADDRESSES} addresses, and {FULL_SITES} sites, three replicas", executed)
    assert executed == expected
