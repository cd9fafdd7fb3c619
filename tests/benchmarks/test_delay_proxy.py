"""The delaying proxy, as a process between a client and a server on a Unix socket."""

import hashlib
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import running
from tests.ports import free_port

MILLISECONDS = 60
SENT = random.Random(1).randbytes(3_000_001)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "server"))
        listening.listen()
        listening.settimeout(20)
        yield listening


@pytest.fixture
def client(tmp_path: Path, server: socket.socket) -> Iterator[socket.socket]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.delay_proxy", str(port), str(MILLISECONDS), str(tmp_path / "server")]
    with running(command, tmp_path / "proxy.log", port=port):
        server.accept()[0].close()  # of the connection that found out whether the proxy listens
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            yield connection


def read_to_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_bytes_pass_unchanged_in_both_directions_and_then_the_end(server: socket.socket, client: socket.socket) -> None:
    received: list[bytes] = []

    def answer() -> None:
        with server.accept()[0] as connection:
            received.append(read_to_end(connection))
            connection.sendall(received[0][::-1])

    thread = threading.Thread(target=answer)
    thread.start()
    client.sendall(SENT)
    client.shutdown(socket.SHUT_WR)
    answered = read_to_end(client)
    thread.join()
    digests = [hashlib.sha256(data).digest() for data in (received[0], answered)]
    assert digests == [hashlib.sha256(data).digest() for data in (SENT, SENT[::-1])]


def test_a_round_trip_takes_the_delay_longer_and_each_direction_half_of_it(
    server: socket.socket, client: socket.socket
) -> None:
    with server.accept()[0] as connection:
        started = time.monotonic()
        client.sendall(b"question")
        assert connection.recv(100) == b"question"
        arrived = time.monotonic()
        connection.sendall(b"answer")
        assert client.recv(100) == b"answer"
        answered = time.monotonic()
    assert (arrived - started) * 1000 >= MILLISECONDS / 2
    assert (answered - arrived) * 1000 >= MILLISECONDS / 2


def test_a_client_without_a_server_is_disconnected(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.delay_proxy", str(port), "1", str(tmp_path / "nothing")]
    log = tmp_path / "proxy.log"
    with running(command, log, port=port), socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        assert connection.recv(100) == b""
    assert "nothing: " in log.read_text()
