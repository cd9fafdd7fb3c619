"""A minimal Chaser: it answers every POST with 200 after a delay, and keeps the last 1,000 requests for GET.

The project's simulator checks signatures and keeps a ledger; it would be slower than the measured programs.
"""

import asyncio
import json
import sys
import time
from collections import deque

import uvloop

_BODY = b'{"status":"ok"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class _Connection(asyncio.Protocol):
    def __init__(self, delay: float, received: "deque[tuple[float, str]]") -> None:
        self._delay = delay
        self._received = received
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if head.startswith(b"GET"):
            self._send_received()
            return
        self._received.append((time.monotonic(), (head + rest).decode("latin-1")))
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._answer, _ANSWER)
        else:
            self._answer(_ANSWER)

    def _send_received(self) -> None:
        """Answer with the last requests as JSON, each with its arrival in seconds of the machine's monotonic clock."""
        body = json.dumps(list(self._received)).encode()
        self._answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(ports: dict[int, float]) -> None:
    """Listen on the ports of a dict from port to delay in seconds."""
    loop = asyncio.get_running_loop()
    for port, delay in ports.items():
        received: deque[tuple[float, str]] = deque(maxlen=1000)
        await loop.create_server(
            lambda delay=delay, received=received: _Connection(delay, received), "127.0.0.1", port, backlog=1024
        )
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve({int(port): float(delay) for port, delay in (pair.split("=") for pair in sys.argv[1:])}))
