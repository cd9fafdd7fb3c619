"""The service moves to another database: killed at work, its database copied, the copy killed twice, then restarted."""

import os
import random
import select
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from app.outbox.database import open_database
from app.outbox.schema import callbacks
from tests.databases import PostgreSQL
from tests.faults.crashing import Failpoint
from tests.faults.doses import LONG, dose, note
from tests.faults.load import VisitorRequest, new_request, send_with_retries
from tests.faults.servers import ForkServer, Replica, replicas
from tests.faults.world import World, world
from tests.outbox.archive import SITE, contents, fill, in_order
from tests.running import until

pytestmark = pytest.mark.timeout(1800 if LONG else 240)

STORED = dose(2_500, 100_000)
REQUESTS = dose(12, 500)
LONG_TIMEOUT = {"chaser": {"timeout": "60s"}}
"""Longer than the test, so that no call times out."""
ROOT = Path(__file__).parents[2]


def work_and_be_killed(here: World, replica: Replica) -> list[VisitorRequest]:
    """Create one placed callback, one with a call in flight, and many queued ones; then kill the replica."""
    requests = [new_request() for _ in range(REQUESTS)]
    send_with_retries(requests[0], [replica.url])
    until(lambda: here.outcomes(requests[0].nonce) == ("placed",))
    here.far_side.fault("hang_after", path="/v1/call", times=1)
    send_with_retries(requests[1], [replica.url])
    until(lambda: len(here.far_side.requests(path="/v1/call")) == 2)
    here.far_side.fault("status", status=429, path="/v1/call", times=1_000_000)
    for request in requests[2:]:
        send_with_retries(request, [replica.url])
    replica.kill()
    return requests


def copy_and_be_killed(fork_server: ForkServer, replica: Replica, to: str, failpoint: Failpoint, action: str) -> None:
    """Run `db copy` until the failpoint kills it: at the first match, in a long dose after some seconds."""
    if not LONG:
        failpoint.activate(action)
    arguments = ["db", "copy", "--to", to]
    log = str(failpoint.file.with_suffix(".log"))
    pidfd = os.pidfd_open(
        fork_server.fork(arguments=arguments, environment=replica.environment, log=log, failpoint=str(failpoint.file))
    )
    if LONG:
        time.sleep(random.uniform(2, 8))
        failpoint.activate(action)
    assert select.select([pidfd], [], [], 120)[0], "it was not killed within 120 s"
    os.close(pidfd)
    assert failpoint.triggered
    assert "complete" not in Path(log).read_text(encoding="utf-8")


@pytest.mark.parametrize("back", [False, True], ids=["to PostgreSQL", "to SQLite"])
def test_delivery_continues_from_the_copy(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL, back: bool
) -> None:
    file = f"sqlite:///{tmp_path}/moved.db"
    from_, to = (postgresql.new_database(), file) if back else (file, postgresql.new_database())
    with world(tmp_path, from_, **LONG_TIMEOUT) as here:
        with replicas(fork_server, tmp_path, here.settings) as (replica,):
            requests = work_and_be_killed(here, replica)
        with closing(open_database(from_)) as source, source.writing.begin() as connection:
            fill(connection, STORED)
            before = contents(connection)
        before = in_order(before)
        failpoint = Failpoint(tmp_path)
        # While it copies, and when the source is marked as moved but nothing is committed in the target.
        for action in ("claim during SIGKILL", "accept before SIGKILL"):
            copy_and_be_killed(fork_server, replica, to, failpoint, action)
        started = time.monotonic()
        command = [sys.executable, "-m", "app.cli.entrypoint", "db", "copy", "--to", to]
        copied = subprocess.run(
            command, cwd=ROOT, env=replica.environment, capture_output=True, text=True, check=False, timeout=600
        )
        took = time.monotonic() - started
        assert copied.returncode == 0, copied.stderr
        with closing(open_database(to)) as target, target.writing.begin() as connection:
            after = contents(connection)
            if not back:
                # A long dose takes longer than the service's own timeout.
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(delete(callbacks).where(callbacks.c.site == SITE))
        assert in_order(after) == before

        here.far_side.clear_faults()
        moved = World(tmp_path, here.far_side, to, LONG_TIMEOUT)
        if moved.on_postgresql:
            moved.sql("UPDATE callbacks SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")
        with replicas(fork_server, tmp_path, moved.settings):
            moved.wait_until_finished()
            verdict = moved.verdict([request.record for request in requests])
            outcomes_in_flight = moved.outcomes(requests[1].nonce)
    kind = "PostgreSQL to SQLite" if back else "SQLite to PostgreSQL"
    note(f"{STORED} callbacks copied from {kind}, killed twice, the third run {took:.1f} s", verdict)
    assert verdict.sound, verdict.explain()
    assert outcomes_in_flight == ("unknown", "placed")
    assert verdict.executed == REQUESTS + 1
    assert verdict.count("doubled") == 1, "only the call in flight may ring again"
