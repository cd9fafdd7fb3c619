"""The service moves to another database: killed in the middle of its work, copied, interrupted twice, and started."""

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
from tests.faults.crashing import Fate
from tests.faults.doses import LONG, dose, note
from tests.faults.load import Asking, insist, new_wish
from tests.faults.servers import Nursery, Replica, replicas
from tests.faults.world import World, world
from tests.outbox.archive import SITE, contents, fill, in_order
from tests.running import until

pytestmark = pytest.mark.timeout(1800 if LONG else 240)

STORED = dose(2_500, 100_000)
ASKED = dose(12, 500)
SLOW = {"chaser": {"timeout": "60s"}}
"""No call may end by itself, however busy the machine is."""
ROOT = Path(__file__).parents[2]


def work_and_die(here: World, replica: Replica) -> list[Asking]:
    """Leave one that was delivered, one whose call is under way, and many that wait."""
    asked = [new_wish() for _ in range(ASKED)]
    insist(asked[0], [replica.url])
    until(lambda: here.outcomes(asked[0].nonce) == ("placed",))
    here.far_side.fault("hang_after", path="/v1/call", times=1)
    insist(asked[1], [replica.url])
    until(lambda: len(here.far_side.requests(path="/v1/call")) == 2)
    here.far_side.fault("status", status=429, path="/v1/call", times=1_000_000)
    for asking in asked[2:]:
        insist(asking, [replica.url])
    replica.kill()
    return asked


def copy_and_be_killed(nursery: Nursery, replica: Replica, to: str, fate: Fate, words: str) -> None:
    """Run `db copy` until it meets its fate: at the first such moment, or somewhere in the middle of a long one."""
    if not LONG:
        fate.tell(words)
    arguments = ["db", "copy", "--to", to]
    log = str(fate.file.with_suffix(".log"))
    handle = os.pidfd_open(
        nursery.fork(arguments=arguments, environment=replica.environment, log=log, fate=str(fate.file))
    )
    if LONG:
        time.sleep(random.uniform(2, 8))
        fate.tell(words)
    assert select.select([handle], [], [], 120)[0], "it runs on"
    os.close(handle)
    assert fate.met
    assert "the same" not in Path(log).read_text(encoding="utf-8")


@pytest.mark.parametrize("back", [False, True], ids=["to PostgreSQL", "to SQLite"])
def test_what_was_under_way_goes_on_in_the_copy(
    tmp_path: Path, nursery: Nursery, postgresql: PostgreSQL, back: bool
) -> None:
    file = f"sqlite:///{tmp_path}/moved.db"
    from_, to = (postgresql.new_database(), file) if back else (file, postgresql.new_database())
    with world(tmp_path, from_, **SLOW) as here:
        with replicas(nursery, tmp_path, here.settings) as (replica,):
            asked = work_and_die(here, replica)
        with closing(open_database(from_)) as source, source.writing.begin() as connection:
            fill(connection, STORED)
            before = contents(connection)
        before = in_order(before)
        fate = Fate(tmp_path)
        for words in ("accept before SIGKILL", "claim before SIGKILL"):
            copy_and_be_killed(nursery, replica, to, fate, words)
        began = time.monotonic()
        command = [sys.executable, "-m", "app.cli.entrypoint", "db", "copy", "--to", to]
        copied = subprocess.run(
            command, cwd=ROOT, env=replica.environment, capture_output=True, text=True, check=False, timeout=600
        )
        took = time.monotonic() - began
        assert copied.returncode == 0, copied.stderr
        with closing(open_database(to)) as target, target.writing.begin() as connection:
            after = contents(connection)
            if not back:
                connection.execute(text("SET LOCAL statement_timeout = 0"))  # a long dose is more than a service does
            connection.execute(delete(callbacks).where(callbacks.c.site == SITE))
        assert in_order(after) == before

        here.far_side.well_again()
        there = World(tmp_path, here.far_side, to, SLOW)
        if there.on_postgresql:
            there.sql("UPDATE callbacks SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")
        with replicas(nursery, tmp_path, there.settings):
            there.settle()
            verdict = there.verdict([asking.wish for asking in asked])
            last = there.outcomes(asked[1].nonce)
    kind = "PostgreSQL to SQLite" if back else "SQLite to PostgreSQL"
    note(f"{STORED} callbacks copied from {kind}, killed twice, the third run {took:.1f} s", verdict)
    assert verdict.sound, verdict.explain()
    assert last == ("unknown", "placed")
    assert verdict.executed == ASKED + 1
    assert verdict.count("doubled") == 1, "only what was under way may ring again"
