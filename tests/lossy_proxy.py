"""A TCP proxy before PostgreSQL that loses connections at COMMIT, and counts the client's round trips."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from enum import StrEnum

from sqlalchemy.engine import make_url

_STARTUP = 196_608  # the protocol version in a startup message; requests for encryption and cancellation have others
_COMMIT = b"Q\0\0\0\x0bCOMMIT\0"  # the driver sends it as a simple query
_MARKER = b"INSERT INTO writers"  # a connection that has sent this is a writer's
_ROUND_TRIP = b"QS"  # Query and Sync: the client waits for the reply


class Fate(StrEnum):
    """The fate of a connection at a COMMIT."""

    PASS = "pass"
    """Nothing happens."""
    LOSE_REPLY = "lose the reply"
    """The server commits, and the connection ends without its reply."""
    LOSE_COMMIT = "lose the COMMIT"
    """The connection ends before the server gets the COMMIT."""
    DELAY = "delay the COMMIT"
    """The connection ends for the client, and the server gets the COMMIT half a second later."""


class LossyProxy:
    """The proxy: `url` leads through it. `fate` is called for each COMMIT of a writer, in any thread."""

    def __init__(self, url: str, fate: Callable[[], Fate]) -> None:
        self._address = make_url(url)
        self.fate = fate
        self.lost: list[Fate] = []
        self.round_trips = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = self._address.set(
            host="127.0.0.1", port=self._listening.getsockname()[1], query={}
        ).render_as_string(hide_password=False)

    def serve(self) -> None:
        """Accept connections until `close`."""
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._relay, args=(self._listening.accept()[0],), daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(f"{self._address.query['host']}/.s.PGSQL.{self._address.port or 5432}")
            replies = threading.Thread(target=self._to_client, args=(client, server), daemon=True)
            replies.start()
            self._to_server(client, server)
            replies.join()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            begun = marked = False
            while not begun:
                message = _read_message(client, typed=False)
                begun = struct.unpack("!I", message[4:8])[0] == _STARTUP
                server.sendall(message)
            while True:
                message = _read_message(client, typed=True)
                self.round_trips += message[:1] in _ROUND_TRIP
                marked = marked or (message[:1] == b"P" and _MARKER in message)
                if marked and message == _COMMIT and self._is_lost(client, server, message):
                    return
                server.sendall(message)
        _end(client, server)

    def _is_lost(self, client: socket.socket, server: socket.socket, message: bytes) -> bool:
        """Apply the fate of this COMMIT, and return whether the connection has ended."""
        fate = self.fate()
        if fate is Fate.PASS:
            return False
        self.lost.append(fate)
        # The client's side first: the other thread must not pass the reply on.
        _end(client)
        if fate is Fate.DELAY:
            time.sleep(0.5)
        if fate is not Fate.LOSE_COMMIT:
            server.sendall(message)  # the server runs it before it sees the end of the connection
        _end(server)
        return True

    @staticmethod
    def _to_client(client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        _end(client)


@contextlib.contextmanager
def lossy_proxy(url: str, fate: Callable[[], Fate] = lambda: Fate.PASS) -> Iterator[LossyProxy]:
    """Run a proxy to the server of a URL that names a folder of Unix sockets."""
    proxy = LossyProxy(url, fate)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()


def _read_message(connection: socket.socket, *, typed: bool) -> bytes:
    head = _read(connection, 5 if typed else 4)
    return head + _read(connection, struct.unpack("!I", head[-4:])[0] - 4)


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        some = connection.recv(count - len(data))
        if not some:
            raise EOFError
        data += some
    return data


def _end(*connections: socket.socket) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
