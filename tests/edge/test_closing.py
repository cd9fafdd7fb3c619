"""Graceful shutdown as connected clients see it: no request is lost, and no connection stays open."""

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
def connected(service: Process, sent: bytes = b"") -> Iterator[socket.socket]:
    port = int(service.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        yield connection


def everything(connection: socket.socket) -> bytes:
    """Read until the service closes the connection; a reset fails."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_connected_clients_get_a_response_and_new_ones_are_refused(tmp_path: Path) -> None:
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
        everything(idle)  # returns, because it was closed without a reset
        slow.sendall(REST)
        answer = everything(slow).lower()
        assert answer.startswith(b"http/1.1 503"), "a load balancer must send no further requests here"
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b'{"status":"unavailable"}')
        assert everything(silent) == b"", "a silent client must not delay the shutdown"
        with pytest.raises(ConnectionRefusedError), connected(service):
            pass
        until(lambda: service.process.poll() is not None)


def test_connections_in_the_accept_backlog_get_a_response_and_no_reset(tmp_path: Path) -> None:
    answers: list[bytes] = []
    with process(tmp_path, values(tmp_path)) as service, contextlib.ExitStack() as stack:
        service.process.send_signal(
            signal.SIGSTOP
        )  # so that the kernel queues the connections and the service does not accept them
        waiting = [stack.enter_context(connected(service, WHOLE)) for _ in range(50)]
        service.process.send_signal(signal.SIGTERM)
        service.process.send_signal(signal.SIGCONT)
        answers = [everything(connection) for connection in waiting]
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


def test_a_client_that_never_sends_the_rest_of_a_refused_body_does_not_delay_the_shutdown(tmp_path: Path) -> None:
    head = (
        b"POST /v1/callbacks HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n"
    )
    with process(tmp_path, values(tmp_path)) as service, connected(service, head + b" " * 70_000) as refused:
        assert refused.recv(12) == b"HTTP/1.1 413"
        service.terminate()
        assert "graceful shutdown exceeded" not in service.output()
