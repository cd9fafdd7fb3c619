"""The single process is restarted again and again under load, without a proxy: almost no request is lost."""

import select
import socket
import threading
import time
from collections import Counter
from pathlib import Path

from tests.faults.doses import dose, note
from tests.faults.servers import ForkServer, replicas
from tests.faults.world import world

RESTARTS = dose(10, 100)
MOST_RESETS = RESTARTS // 2
"""Resets in all: of connections whose handshake ended at the very moment of closing, or that were used just then."""
CLIENTS = 20
PAUSE = 0.02  # seconds between two requests of a client
GET = b"GET /v1/sites/shop HTTP/1.1\r\nHost: service\r\n"


class Clients:
    """Clients in threads that send requests until `stop`, half of them on keep-alive connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stopping = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run, args=(n % 2 == 0,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the clients; return when the current request of each has ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, keep_alive: bool) -> None:
        connection: socket.socket | None = None
        while not self._stopping.is_set():
            time.sleep(PAUSE)
            if connection is not None and select.select([connection], [], [], 0)[0]:
                connection.close()  # the service has closed it, as every pool of connections notices
                connection = None
            if connection is None:
                try:
                    connection = socket.create_connection(("127.0.0.1", self._port), timeout=20)
                except ConnectionRefusedError:
                    self.outcomes["refused"] += 1
                    continue
            outcome, is_last = _request(connection, keep_alive)
            self.outcomes[outcome] += 1
            if is_last:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()


def _request(connection: socket.socket, keep_alive: bool) -> tuple[str, bool]:
    """Send one request. Return its outcome, and whether the connection has ended."""
    answer = b""
    try:
        connection.sendall(GET + (b"\r\n" if keep_alive else b"Connection: close\r\n\r\n"))
        while not answer.endswith(b"}"):
            part = connection.recv(65536)
            if not part:
                break
            answer += part
    except ConnectionError:
        pass
    if not answer.startswith(b"HTTP/1.1 200 "):
        return "reset", True
    return "answered", b"\r\nconnection: close\r\n" in answer


def test_restarts_of_the_single_process_reset_almost_no_connection(tmp_path: Path, fork_server: ForkServer) -> None:
    with world(tmp_path) as here, replicas(fork_server, tmp_path, here.settings) as (replica,):
        clients = Clients(replica.port)
        for _ in range(RESTARTS):
            time.sleep(0.5)
            replica.terminate()
            replica.start()
        clients.stop()
    note(f"{RESTARTS} restarts of the single process under load", dict(clients.outcomes))
    assert clients.outcomes["answered"] > RESTARTS * CLIENTS
    assert clients.outcomes["reset"] <= MOST_RESETS
