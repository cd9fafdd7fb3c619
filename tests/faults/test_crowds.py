"""Many at the same moment: one request sent a hundred times is one callback; a cap is a cap, to the last one."""

from collections import Counter
from pathlib import Path

from app.simulator.options import DEMO_SITE_ID
from tests.databases import PostgreSQL
from tests.faults.doses import dose, note
from tests.faults.load import Asking, all_at_once, new_wish
from tests.faults.oracle import Wish
from tests.faults.servers import Nursery, replicas
from tests.faults.world import WIDE, world
from tests.running import ORIGIN, phone

TIMES = dose(1, 5)
SAME = 100
CROWD = 1000
CAP = 3
TRIES = 20
PATIENT = {"chaser": {"timeout": "20s"}}
"""So long that on a busy machine no call becomes unknown for being slow."""
SITES = {f"shop-{n}": {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN]} for n in range(CROWD)}


def test_a_hundred_requests_with_the_same_key_are_one_callback(
    tmp_path: Path, nursery: Nursery, database_url: str
) -> None:
    wishes = []
    with world(tmp_path, database_url, **PATIENT) as here:
        count = 3 if here.on_postgresql else 1
        with replicas(nursery, tmp_path, here.settings, count) as running:
            for _ in range(TIMES):
                first = new_wish()
                tries = [Asking(first.nonce, first.body, first.headers, first.asked) for _ in range(SAME)]
                all_at_once(tries, [replica.url for replica in running])
                answers = [answer for one in tries for answer in one.answers]
                assert [answer.status for answer in answers] == [202] * SAME
                wishes.append(Wish(first.nonce, first.asked, answers))
            here.settle()
            verdict = here.verdict(wishes)
    note(f"{TIMES} times {SAME} requests with one key at once, {count} replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.executed == TIMES


def test_a_thousand_requests_for_one_phone_on_three_replicas_are_exactly_the_cap(
    tmp_path: Path, nursery: Nursery, postgresql: PostgreSQL
) -> None:
    quotas = WIDE | {"per_phone": f"{CAP}/hour;{CAP + 2}/day"}
    askings = []
    with (
        # Each for another site: a second request for the same phone and site would be the same callback.
        world(tmp_path, postgresql.new_database(), quotas=quotas, sites={"shop": None} | SITES, **PATIENT) as here,
        replicas(nursery, tmp_path, here.settings, 3) as three,
    ):
        for _ in range(TIMES):
            number = phone()
            crowd = [new_wish(number, site) for site in SITES]
            waiting = crowd
            for _ in range(TRIES):  # a busy machine may tell some that it can't take them now
                all_at_once(waiting, [replica.url for replica in three])
                waiting = [asking for asking in waiting if asking.answers[-1].status in (None, 503)]
                if not waiting:
                    break
            last = [asking.answers[-1] for asking in crowd]
            answers = Counter((answer.status, answer.code) for answer in last)
            assert answers == {(202, None): CAP, (429, "quota_phone"): CROWD - CAP}
            askings += crowd
        here.settle()
        verdict = here.verdict([asking.wish for asking in askings])
    note(f"{TIMES} times {CROWD} requests for one phone at once, cap {CAP}, three replicas", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.executed == CAP * TIMES
