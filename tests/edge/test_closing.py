"""The end of a service as those see it who are connected: nobody is cut off, and nobody stays."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Process, process, until, values

HALF = b"GET /readyz HTTP/1.1\r\nHost: here\r\n"
REST = b"\r\n"
WHOLE = b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n"


@contextlib.contextmanager
def connected(service: Process, said: bytes = b"") -> Iterator[socket.socket]:
    port = int(service.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(said)
        yield connection


def everything(connection: socket.socket) -> bytes:
    """Read until the service closes the connection; a reset fails."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_who_is_in_gets_an_answer_and_who_comes_is_refused(tmp_path: Path) -> None:
    with (
        process(tmp_path, values(tmp_path)) as service,
        connected(service, WHOLE) as idle,
        connected(service, HALF) as slow,
        connected(service) as silent,
    ):
        assert idle.recv(12) == b"HTTP/1.1 200"
        with connected(service) as late:
            service.process.send_signal(signal.SIGTERM)
            late.sendall(WHOLE)
            assert everything(late).startswith(b"HTTP/1.1 200")
        everything(idle)  # returns: it was closed, in order
        slow.sendall(REST)
        answer = everything(slow).lower()
        assert answer.startswith(b"http/1.1 503"), "a balancer is to send nobody here any more"
        assert b"\r\nconnection: close\r\n" in answer
        assert b'"delivery":"stopped"' in answer
        assert everything(silent) == b"", "who says nothing keeps nobody waiting"
        with pytest.raises(ConnectionRefusedError), connected(service):
            pass
        until(lambda: service.process.poll() is not None)


def test_a_crowd_at_the_door_is_answered_or_refused_but_never_reset(tmp_path: Path) -> None:
    told: list[bytes] = []
    with process(tmp_path, values(tmp_path)) as service, contextlib.ExitStack() as stack:
        service.process.send_signal(signal.SIGSTOP)  # so that the system lets them in, and the service doesn't
        waiting = [stack.enter_context(connected(service, WHOLE)) for _ in range(50)]
        service.process.send_signal(signal.SIGTERM)
        service.process.send_signal(signal.SIGCONT)
        told = [everything(connection) for connection in waiting]
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in told)
