"""The service is told to end while everything hangs: Chaser, a visitor, the database. It ends, and loses nothing.

Containers are killed ten seconds after SIGTERM. The tests wait for twenty, and note how long it took.
"""

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.databases import PostgreSQL
from tests.faults.doses import note
from tests.faults.load import Asking, insist, new_wish
from tests.faults.servers import Nursery, Replica, RestartedPostgreSQL, replicas
from tests.faults.world import World, world
from tests.running import process, until

HANGING = {"chaser": {"timeout": "60s"}}
"""So long that no call ends by itself while the service does."""


@contextlib.contextmanager
def slow_visitor(replica: Replica) -> Iterator[None]:
    """A visitor whose request has begun and does not go on."""
    with socket.create_connection(("127.0.0.1", replica.port), timeout=5) as connection:
        head = "POST /v1/callbacks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
        connection.sendall(head.encode())
        yield


def call_that_hangs(here: World, replica: Replica) -> Asking:
    here.far_side.fault("hang_after", path="/v1/call", times=1)
    asking = new_wish()
    insist(asking, [replica.url])
    until(lambda: len(here.far_side.requests(path="/v1/call")) == 1)
    return asking


def end(replica: Replica) -> float:
    """End it, which fails when it runs on; gives how many seconds it took."""
    began = time.monotonic()
    replica.terminate()
    return time.monotonic() - began


def go_on(here: World, replica: Replica, asking: Asking, scenario: str) -> None:
    """Start again, when all is well, and judge what comes of it."""
    if here.on_postgresql:
        here.sql("UPDATE callbacks SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")
    replica.start()
    here.settle()
    verdict = here.verdict([asking.wish])
    note(scenario, verdict)
    assert verdict.sound, verdict.explain()
    assert here.outcomes(asking.nonce) == ("unknown", "placed")
    assert verdict.count("doubled") == 1


def test_a_call_and_a_visitor_that_hang_keep_nobody(tmp_path: Path, nursery: Nursery, database_url: str) -> None:
    with (
        world(tmp_path, database_url, **HANGING) as here,
        replicas(nursery, tmp_path, here.settings) as (replica,),
    ):
        asking = call_that_hangs(here, replica)
        with slow_visitor(replica):
            took = end(replica)
        assert here.outcomes(asking.nonce) == ("unknown",), "written down at the last moment"
        assert "service.forced_exit" not in replica.output()
        scenario = f"SIGTERM while a call and a visitor hang, {'PostgreSQL' if here.on_postgresql else 'SQLite'}"
        go_on(here, replica, asking, f"{scenario}: ended in {took:.1f} s")


@pytest.mark.parametrize("trouble", ["away", "hanging"])
def test_a_database_that_is_gone_as_well_keeps_nobody(
    tmp_path: Path, nursery: Nursery, own_postgresql: RestartedPostgreSQL, trouble: str
) -> None:
    with (
        world(tmp_path, own_postgresql.new_database(), **HANGING) as here,
        replicas(nursery, tmp_path, here.settings) as (replica,),
    ):
        asking = call_that_hangs(here, replica)
        with slow_visitor(replica), getattr(own_postgresql, trouble)():
            took = end(replica)
        assert "service.forced_exit" not in replica.output()
        assert here.outcomes(asking.nonce) == (None,), "nobody could write what became of it"
        go_on(here, replica, asking, f"SIGTERM while PostgreSQL is {trouble}: ended in {took:.1f} s")


def test_ctrl_c_ends_what_would_wait_for_a_database_for_ever(
    tmp_path: Path, own_postgresql: RestartedPostgreSQL
) -> None:
    with (
        world(tmp_path, own_postgresql.new_database()) as here,
        process(tmp_path, here.settings) as service,
        own_postgresql.hanging(),
    ):
        # Reading is done in threads that Python waits for.
        with pytest.raises(httpx2.ReadTimeout):
            service.http.get("/v1/callbacks/01a2079c-bf03-7387-8e96-29518fb19998", timeout=1)
        began = time.monotonic()
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(20) == 1, "cut off"
        took = time.monotonic() - began
        assert "service.forced_exit" in service.output()
    note("SIGINT while PostgreSQL is hanging", f"cut off after {took:.1f} s")


def test_from_the_signal_on_nothing_is_taken(tmp_path: Path, nursery: Nursery, postgresql: PostgreSQL) -> None:
    with (
        world(tmp_path, postgresql.new_database(), retry_schedule=["1d"], give_up_after="2d") as here,
        replicas(nursery, tmp_path, here.settings) as (replica,),
    ):
        here.far_side.fault("status", status=429, times=1)
        asking = new_wish()
        insist(asking, [replica.url])
        until(lambda: here.outcomes(asking.nonce) == ("not_sent",))
        with slow_visitor(replica):
            replica.begin_to_end()
            until(lambda: "Shutting down" in replica.output())
            here.sql("UPDATE callbacks SET due_at = clock_timestamp()")
            took = end(replica)
        (row,) = here.stored()
        assert (row.status, row.outcomes) == ("queued", ("not_sent",))
        assert len(here.far_side.requests(path="/v1/call")) == 1
        replica.start()
        here.settle()
        verdict = here.verdict([asking.wish])
    note("SIGTERM while a visitor hangs and a callback becomes due", f"{verdict}; ended in {took:.1f} s")
    assert verdict.sound, verdict.explain()
    assert verdict.statuses == {"placed": 1}
