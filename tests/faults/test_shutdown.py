"""The service gets a signal to end while Chaser, a visitor or the database hangs. It ends, and nothing is lost.

Containers are killed ten seconds after SIGTERM. The tests wait for twenty, and record the time it took.
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
from tests.faults.load import VisitorRequest, new_request, send_with_retries
from tests.faults.servers import ForkServer, Replica, RestartedPostgreSQL, replicas
from tests.faults.world import World, world
from tests.running import process, until

HANGING = {"chaser": {"timeout": "60s"}}
"""Longer than the shutdown, so that no call times out during it."""


@contextlib.contextmanager
def slow_visitor(replica: Replica) -> Iterator[None]:
    """A visitor that has sent only a part of its request."""
    with socket.create_connection(("127.0.0.1", replica.port), timeout=5) as connection:
        head = "POST /v1/callbacks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
        connection.sendall(head.encode())
        yield


def hanging_call(here: World, replica: Replica) -> VisitorRequest:
    here.far_side.fault("hang_after", path="/v1/call", times=1)
    request = new_request()
    send_with_retries(request, [replica.url])
    until(lambda: len(here.far_side.requests(path="/v1/call")) == 1)
    return request


def terminate(replica: Replica) -> float:
    """End a replica with SIGTERM and return the seconds it took; fail if it still runs 20 s later."""
    started = time.monotonic()
    replica.terminate()
    return time.monotonic() - started


def restart_and_judge(here: World, replica: Replica, request: VisitorRequest, scenario: str) -> None:
    """Restart the replica without faults, and check the verdict on the request."""
    if here.on_postgresql:
        here.sql("UPDATE callbacks SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")
    replica.start()
    here.wait_until_finished()
    verdict = here.verdict([request.record])
    note(scenario, verdict)
    assert verdict.sound, verdict.explain()
    assert here.outcomes(request.nonce) == ("unknown", "placed")
    assert verdict.count("doubled") == 1


def test_a_hanging_call_and_a_slow_visitor_do_not_delay_the_shutdown(
    tmp_path: Path, fork_server: ForkServer, database_url: str
) -> None:
    with (
        world(tmp_path, database_url, **HANGING) as here,
        replicas(fork_server, tmp_path, here.settings) as (replica,),
    ):
        request = hanging_call(here, replica)
        with slow_visitor(replica):
            took = terminate(replica)
        assert here.outcomes(request.nonce) == ("unknown",), "the outcome was not recorded during the shutdown"
        assert "service.forced_exit" not in replica.output()
        scenario = f"SIGTERM while a call and a visitor hang, {'PostgreSQL' if here.on_postgresql else 'SQLite'}"
        restart_and_judge(here, replica, request, f"{scenario}: ended in {took:.1f} s")


@pytest.mark.parametrize("outage", ["stopped", "suspended"])
def test_a_database_that_is_unavailable_as_well_does_not_delay_the_shutdown(
    tmp_path: Path, fork_server: ForkServer, own_postgresql: RestartedPostgreSQL, outage: str
) -> None:
    with (
        world(tmp_path, own_postgresql.new_database(), **HANGING) as here,
        replicas(fork_server, tmp_path, here.settings) as (replica,),
    ):
        request = hanging_call(here, replica)
        with slow_visitor(replica), getattr(own_postgresql, outage)():
            took = terminate(replica)
        assert "service.forced_exit" not in replica.output()
        assert here.outcomes(request.nonce) == (None,), "an outcome was recorded without a database"
        restart_and_judge(here, replica, request, f"SIGTERM while PostgreSQL is {outage}: ended in {took:.1f} s")


def test_ctrl_c_ends_a_process_that_would_wait_for_the_database_for_ever(
    tmp_path: Path, own_postgresql: RestartedPostgreSQL
) -> None:
    with (
        world(tmp_path, own_postgresql.new_database()) as here,
        process(tmp_path, here.settings) as service,
        own_postgresql.suspended(),
    ):
        # Reads run in threads, and Python waits for its threads at exit.
        with pytest.raises(httpx2.ReadTimeout):
            service.http.get("/v1/callbacks/01a2079c-bf03-7387-8e96-29518fb19998", timeout=1)
        started = time.monotonic()
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(20) == 1, "the exit was not forced"
        took = time.monotonic() - started
        assert "service.forced_exit" in service.output()
    note("SIGINT while PostgreSQL is suspended", f"forced exit after {took:.1f} s")


def test_after_the_signal_no_callback_is_claimed(
    tmp_path: Path, fork_server: ForkServer, postgresql: PostgreSQL
) -> None:
    with (
        world(tmp_path, postgresql.new_database(), retry_schedule=["1d"], give_up_after="2d") as here,
        replicas(fork_server, tmp_path, here.settings) as (replica,),
    ):
        here.far_side.fault("status", status=429, times=1)
        request = new_request()
        send_with_retries(request, [replica.url])
        until(lambda: here.outcomes(request.nonce) == ("not_sent",))
        with slow_visitor(replica):
            replica.send_sigterm()
            until(lambda: "Shutting down" in replica.output())
            here.sql("UPDATE callbacks SET due_at = clock_timestamp()")
            took = terminate(replica)
        (row,) = here.stored()
        assert (row.status, row.outcomes) == ("queued", ("not_sent",))
        assert len(here.far_side.requests(path="/v1/call")) == 1
        replica.start()
        here.wait_until_finished()
        verdict = here.verdict([request.record])
    note("SIGTERM while a visitor hangs and a callback becomes due", f"{verdict}; ended in {took:.1f} s")
    assert verdict.sound, verdict.explain()
    assert verdict.statuses == {"placed": 1}
