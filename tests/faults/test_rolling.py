"""Replicas are replaced one after another behind nginx with deploy/nginx.conf, under load."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.simulator.options import DEMO_SITE_ID
from tests.abuse.nginx import shipped_nginx
from tests.databases import PostgreSQL
from tests.faults.doses import LONG, dose, note
from tests.faults.load import Crowd, new_request, send_concurrently
from tests.faults.servers import ForkServer, Replica, replicas
from tests.faults.world import WIDE, world
from tests.ports import free_port
from tests.running import ORIGIN, client, phone, until

pytestmark = pytest.mark.timeout(3600 if LONG else 240)

ROUNDS = dose(1, 20)
CAP = 3
SITE = {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN], "working_hours": "mon-sun 00:00-24:00"}
SITES = {f"shop-{n}": SITE for n in range(20)}


@contextmanager
def behind_nginx(folder: Path, running: Sequence[Replica]) -> Iterator[str]:
    """Run nginx before the replicas, with deploy/nginx.conf except for addresses, and yield its URL."""
    port = free_port()
    with shipped_nginx(folder, port, [replica.port for replica in running]):
        yield f"http://127.0.0.1:{port}"


def replace(replica: Replica) -> None:
    """Replace a replica as `docker compose up --wait` does: stop it, start its successor, wait until it is ready."""
    replica.terminate()
    replica.start()
    until(lambda: replica.ready()["status"] == "ok")


def test_no_request_fails_while_replicas_are_replaced(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL
) -> None:
    quotas = WIDE | {"per_phone": f"{CAP}/hour"}
    rounds = []
    with (
        world(tmp_path, postgresql.new_database(), quotas=quotas, sites=SITES, trusted_proxies=["127.0.0.1"]) as here,
        replicas(fork_server, tmp_path, here.settings, 3) as running,
        behind_nginx(tmp_path, running) as url,
        Crowd([url], visitors=dose(6, 12), pause=dose(0.1, 0.03)) as crowd,
    ):
        for _ in range(ROUNDS):
            for replica in running:
                replica.send_sigterm()
                number = phone()
                same_phone = [new_request(number, site) for site in SITES]
                send_concurrently(same_phone, [url])
                rounds.append(same_phone)
                replace(replica)
        crowd.stop()
        here.wait_until_finished()
        records = crowd.records + [request.record for request in itertools.chain(*rounds)]
        verdict = here.verdict(records)
    answers = Counter(answer.status for record in crowd.records for answer in record.answers)
    slowest = max(answer.seconds for record in records for answer in record.answers)
    note(f"{3 * ROUNDS} replicas replaced behind nginx", f"answers {dict(answers)}, slowest {slowest:.1f} s; {verdict}")
    assert set(answers) == {202}, (tmp_path / "error.log").read_text(encoding="utf-8")
    for same_phone in rounds:
        statuses = Counter((answer.status, answer.code) for request in same_phone for answer in request.answers)
        assert statuses == {(202, None): CAP, (429, "quota_phone"): len(SITES) - CAP}
    assert verdict.sound, verdict.explain()
    assert verdict.count("doubled") == 0
    assert verdict.executed == verdict.accepted


def test_nginx_passes_on_the_address_of_the_visitor(tmp_path: Path, fork_server: ForkServer) -> None:
    with (
        world(tmp_path, trusted_proxies=["127.0.0.1"]) as here,
        replicas(fork_server, tmp_path, here.settings) as (replica,),
        behind_nginx(tmp_path, [replica] * 3) as url,
        client(url, from_address="127.0.0.9") as visitor,
    ):
        forged = {"origin": ORIGIN, "x-forwarded-for": "203.0.113.7"}
        answer = visitor.post("/v1/callbacks", json={"site": "shop", "client_phone": phone()}, headers=forged)
        assert answer.status_code == 202
        assert here.sql("SELECT client_ip FROM callbacks") == [("127.0.0.9",)]
