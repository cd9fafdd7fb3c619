"""Replicas are replaced one after another behind nginx, as deploy/nginx.conf has it, while visitors go on asking."""

import itertools
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.simulator.options import DEMO_SITE_ID
from tests.abuse.nginx import nginx
from tests.databases import PostgreSQL
from tests.faults.doses import LONG, dose, note
from tests.faults.load import Crowd, all_at_once, new_wish
from tests.faults.servers import Nursery, Replica, replicas
from tests.faults.world import WIDE, world
from tests.ports import free_port
from tests.running import ORIGIN, client, phone, until

pytestmark = pytest.mark.timeout(3600 if LONG else 240)

CONFIG = (Path(__file__).parents[2] / "deploy" / "nginx.conf").read_text(encoding="utf-8")
ROUNDS = dose(1, 20)
CAP = 3
SITES = {f"shop-{n}": {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN]} for n in range(20)}


@contextmanager
def behind_nginx(folder: Path, running: Sequence[Replica]) -> Iterator[str]:
    """Run nginx before them, with nothing but addresses changed; gives its own."""
    places = {f"callback-{n}:8000": f"127.0.0.1:{replica.port}" for n, replica in enumerate(running, 1)}
    port = free_port()
    config = re.sub(r"callback-\d:8000", lambda found: places[found[0]], CONFIG)
    config = config.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    with nginx(folder, config, [port]):
        yield f"http://127.0.0.1:{port}"


def replace(replica: Replica) -> None:
    """Do what `docker compose up --wait` does to one service: end it, start its successor, wait until that is ready."""
    replica.terminate()
    replica.start()
    until(lambda: replica.ready()["status"] == "ok")
    time.sleep(2)  # nginx leaves it out for so long, and must not be without any


def test_no_request_fails_while_replicas_are_replaced(tmp_path: Path, nursery: Nursery, postgresql: PostgreSQL) -> None:
    quotas = WIDE | {"per_phone": f"{CAP}/hour"}
    crowds = []
    with (
        world(tmp_path, postgresql.new_database(), quotas=quotas, sites=SITES, trusted_proxies=["127.0.0.1"]) as here,
        replicas(nursery, tmp_path, here.settings, 3) as running,
        behind_nginx(tmp_path, running) as url,
        Crowd([url], visitors=dose(6, 12), pause=dose(0.1, 0.03)) as crowd,
    ):
        for _ in range(ROUNDS):
            for replica in running:
                replica.begin_to_end()
                number = phone()
                same_phone = [new_wish(number, site) for site in SITES]
                all_at_once(same_phone, [url])
                crowds.append(same_phone)
                replace(replica)
        crowd.stop()
        here.settle()
        wishes = crowd.wishes + [asking.wish for asking in itertools.chain(*crowds)]
        verdict = here.verdict(wishes)
    answers = Counter(answer.status for wish in crowd.wishes for answer in wish.answers)
    slowest = max(answer.seconds for wish in wishes for answer in wish.answers)
    note(f"{3 * ROUNDS} replicas replaced behind nginx", f"answers {dict(answers)}, slowest {slowest:.1f} s; {verdict}")
    assert set(answers) == {202}, (tmp_path / "error.log").read_text(encoding="utf-8")
    for same_phone in crowds:
        told = Counter((answer.status, answer.code) for asking in same_phone for answer in asking.answers)
        assert told == {(202, None): CAP, (429, "quota_phone"): len(SITES) - CAP}
    assert verdict.sound, verdict.explain()
    assert verdict.count("doubled") == 0
    assert verdict.executed == verdict.accepted


def test_nginx_tells_the_service_who_asks(tmp_path: Path, nursery: Nursery) -> None:
    with (
        world(tmp_path, trusted_proxies=["127.0.0.1"]) as here,
        replicas(nursery, tmp_path, here.settings) as (replica,),
        behind_nginx(tmp_path, [replica] * 3) as url,
        client(url, from_address="127.0.0.9") as stranger,
    ):
        forged = {"origin": ORIGIN, "x-forwarded-for": "203.0.113.7"}
        answer = stranger.post("/v1/callbacks", json={"site": "shop", "client_phone": phone()}, headers=forged)
        assert answer.status_code == 202
        assert here.sql("SELECT client_ip FROM callbacks") == [("127.0.0.9",)]
