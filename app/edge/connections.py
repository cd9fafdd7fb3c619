"""Connections that take too long: uvicorn's HTTP protocol, with a time and a size for every request.

uvicorn waits for ever for a request that has begun, or that never begins, and keeps headers of any size. A stranger
who opens ten thousand connections and sends a byte now and then would use up the memory and the file handles.
"""

import asyncio
import uuid
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.errors import problem_response

TIME_TO_SEND: Final = 8.0
"""Seconds for a whole request, body included, from the connection or from its first byte on a kept one; the same for
a reader of an answer who takes nothing more."""
LARGEST_HEAD: Final = 64 * 1024
"""Bytes of the request line and headers together."""
_LARGEST_MESSAGE = 1024 * 1024  # bytes beyond which nothing is read: what is larger was refused at 16 KiB of body
MOST_WAITING: Final = 1000
"""Connections that may wait at one time, with no request under way."""
_SWEEP = 0.5  # seconds between looks


class Waiting:
    """The connections that owe us something, the longest waiting first; ``most``: beyond it the first must go.

    An honest client's request is here a moment after its connection, so it is the idle ones that a flood pushes out.
    """

    def __init__(self, *, seconds: float = TIME_TO_SEND, most: int = MOST_WAITING) -> None:
        self._seconds = seconds
        self._most = most
        self._since: dict[Connection, float] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def add(self, connection: "Connection") -> None:
        """Begin the connection's time anew, or for the first time."""
        loop = asyncio.get_running_loop()
        self._since.pop(connection, None)
        self._since[connection] = loop.time()
        if len(self._since) > self._most:
            next(iter(self._since)).drop()
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP, self._sweep, loop)

    def remove(self, connection: "Connection") -> None:
        """Take out a connection that owes nothing now."""
        self._since.pop(connection, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        late = loop.time() - self._seconds
        for connection, since in list(self._since.items()):
            if since > late:
                break
            connection.end()
        self._sweeper = loop.call_later(_SWEEP, self._sweep, loop) if self._since else None


def protocol(waiting: Waiting) -> type["Connection"]:
    """Make the class for ``uvicorn.Config(http=…)``, all of whose connections share one list of those that wait."""
    return type("Protocol", (Connection,), {"waiting": waiting})


class Connection(HttpToolsProtocol):
    """One connection. It is ended when it does not send, or does not read, in time."""

    waiting: Waiting

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._in_head = True
        self._taken = 0  # bytes of the message under way
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self.waiting.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self.waiting.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what a message takes."""
        if self._refused:
            return
        self._taken += len(data)
        super().data_received(data)
        if self._in_head and self._taken > LARGEST_HEAD and not self._refused:
            self._refuse(_answer(431, "headers_too_large", "The headers are too large: at most 64 KiB."))
        elif self._taken > _LARGEST_MESSAGE:
            self.flow.pause_reading()  # until its time is over: an answer under way can still be read

    def on_message_begin(self) -> None:
        """Count anew on a kept connection, whose time begins with its first byte."""
        if self.cycle is not None:
            self.waiting.add(self)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the clock: the client owes nothing more."""
        self.waiting.remove(self)
        self._in_head = True
        self._taken = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for another request, if this one was sent whole; uvicorn ends that after its keep-alive time."""
        super().on_response_complete()
        if not self._taken and not self.transport.is_closing():
            self.waiting.add(self)

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read fast enough."""
        self.waiting.add(self)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Stop it, for it reads again."""
        self.waiting.remove(self)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn gives its own words
        """Refuse what is not HTTP in the shape of every refusal."""
        self._refuse(_answer(400, "not_http", "This is not a valid HTTP request."))

    def end(self) -> None:
        """End a connection whose time is over, with an answer if the request had begun and nothing was answered."""
        cycle = self.cycle
        answering = cycle is not None and cycle.response_started and not cycle.response_complete
        answered = not self._in_head and cycle.response_complete
        if self._taken and not answering and not answered:
            self._refuse(_answer(408, "too_slow", "The request did not arrive in time: send it again."))
        else:
            self.drop()

    def drop(self) -> None:
        """End a connection without a word."""
        self.waiting.remove(self)
        self.transport.abort()

    def _refuse(self, answer: bytes) -> None:
        """Say the last word, and go a second later: closing at once would take the answer from one who still sends."""
        self._refused = True
        self.waiting.remove(self)
        self.flow.pause_reading()
        self.transport.write(answer)
        self.transport.write_eof()
        self.loop.call_later(1, self.transport.abort)


def _answer(status: int, code: str, detail: str) -> bytes:
    """Write a refusal as it goes over the wire: below ASGI there is nobody else to do it."""
    problem = problem_response(status, code, detail, request_id=str(uuid.uuid4()))
    headers = [*problem.raw_headers, (b"connection", b"close")]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[status] + lines + b"\r\n" + bytes(problem.body)
