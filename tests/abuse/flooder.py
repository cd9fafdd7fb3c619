"""Flood one server with connections. A process of its own, so that it has a limit of open files of its own.

    python -m tests.abuse.flooder PORT KINDS COUNT PER_SECOND

KINDS are keys of FIRST_BYTES, separated by commas; connections cycle through them. When all connections are closed,
or TIMEOUT is over, it writes its figures as one JSON object.
"""

import json
import resource
import select
import socket
import sys
import time
from dataclasses import dataclass

TIMEOUT = 20.0
"""Seconds to wait until the last connection is closed."""
_DRIP = 0.5  # seconds between the bytes of one connection
_SOURCES = 20  # source addresses: one has too few ports for the connections of a run
_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: choose the port in connect(), so that source addresses share ports
_POST = (
    b"POST /v1/callbacks HTTP/1.1\r\nHost: service\r\nOrigin: https://shop.example\r\n"
    b"Content-Type: application/json\r\n"
)
FIRST_BYTES = {
    "idle": b"",
    "header-drip": b"GET /v1/sites/shop HTTP/1.1\r\nHost: service\r\n",
    "body-drip": _POST + b"Content-Length: 10000\r\n\r\n",
    "chunk-drip": _POST + b"Transfer-Encoding: chunked\r\n\r\n",
    "keep-alive": b"GET /livez HTTP/1.1\r\nHost: service\r\n\r\n",
    "unread": b"GET /widget.js HTTP/1.1\r\nHost: service\r\n\r\n",
}
"""The bytes that a connection of each kind sends at once. One of the kind `unread` reads no response."""
_DRIPPED = {"header-drip": b"X-A: b\r\n", "body-drip": b" ", "chunk-drip": b"1\r\n \r\n"}


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    kind: str
    since: float | None = None  # time of connecting


class Flood:
    """`count` connections to a local port, opened at a rate of `per_second`, cycling through `kinds`."""

    def __init__(self, port: int, kinds: list[str], count: int, per_second: float) -> None:
        self._port, self._kinds, self._count, self._per_second = port, kinds, count, per_second
        self._open: dict[int, _Connection] = {}
        self._poll = select.epoll()
        self._longest = 0.0
        self._most = 0
        self._unconnected = 0

    def run(self) -> dict[str, float]:
        """Open all connections, drip, and wait until all are closed or TIMEOUT is over. Return the figures."""
        began = last = time.monotonic()
        opened, next_drip = 0, began
        while opened < self._count or (self._open and time.monotonic() - last < TIMEOUT):
            now = time.monotonic()
            due = min(self._count, int((now - began) * self._per_second) + 1)
            for number in range(opened, due):
                self._connect(number)
                last = now
            opened = due
            if now > next_drip:
                self._drip()
                next_drip = now + _DRIP
            self._handle_events()
            self._most = max(self._most, len(self._open))
        return {
            "opened": opened,
            "most at once": self._most,
            "still open": len(self._open),
            "never connected": self._unconnected,
            "longest": round(self._longest, 1),
        }

    def _connect(self, number: int) -> None:
        connection = socket.socket()
        connection.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        connection.bind((f"127.0.7.{1 + number % _SOURCES}", 0))
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", self._port))
        self._open[connection.fileno()] = _Connection(connection, self._kinds[number % len(self._kinds)])
        self._poll.register(connection, select.EPOLLOUT | select.EPOLLIN)

    def _handle_events(self) -> None:
        for number, events in self._poll.poll(0.005):
            connection = self._open[number]
            try:
                if connection.since is None and events & select.EPOLLOUT:
                    connection.since = time.monotonic()
                    self._poll.modify(number, select.EPOLLRDHUP if connection.kind == "unread" else select.EPOLLIN)
                    connection.socket.send(FIRST_BYTES[connection.kind])
                if events & select.EPOLLRDHUP or (events & ~select.EPOLLOUT and not connection.socket.recv(65536)):
                    self._remove(number)
            except BlockingIOError:
                pass
            except OSError:
                self._remove(number)

    def _drip(self) -> None:
        for number, connection in list(self._open.items()):
            if connection.since is not None and connection.kind in _DRIPPED:
                try:
                    connection.socket.send(_DRIPPED[connection.kind])
                except BlockingIOError:
                    pass
                except OSError:
                    self._remove(number)

    def _remove(self, number: int) -> None:
        connection = self._open.pop(number)
        self._poll.unregister(number)
        if connection.since is None:
            self._unconnected += 1
        else:
            self._longest = max(self._longest, time.monotonic() - connection.since)
        connection.socket.close()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    flood = Flood(int(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]), float(sys.argv[4]))
    sys.stdout.write(json.dumps(flood.run()))
