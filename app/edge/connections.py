"""Connections that take too long: uvicorn's HTTP protocol, with a time and a size for every request.

uvicorn waits for ever for a request that has begun, or that never begins, and keeps headers of any size. A stranger
who opens ten thousand connections and sends a byte now and then would use up the memory and the file handles.
"""

import asyncio
import uuid
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.edge.early import answering_early
from app.edge.request_body import MAX_BODY_SIZE
from app.edge.waiting import Waiting
from app.errors import RFC_9110_PHRASES, problem_response
from app.metrics import Metrics
from app.net.client_address import buckets, client_address

LARGEST_HEAD: Final = 32 * 1024
"""Bytes of the path, headers and trailers together; as much as nginx takes."""
MOST_HEADERS: Final = 100
"""Each costs some two hundred bytes of memory, be it as short as it may. Apache takes as many."""
MOST_PIPELINED: Final = 10
"""Requests that may wait on a connection for the answers to earlier ones. Browsers don't do that at all."""
_LARGEST_HELD = 128 * 1024  # bytes of a request with all that frames it, until the application knows of it
_TO_ASK = 0.5  # seconds for the request of whoever connected as the service began to end
_MOST_READ = 1024 * 1024  # bytes that are read, to be forgotten, from one who was answered and still sends

# uvicorn writes the phrases that its Python has.
STATUS_LINE.update({code: f"HTTP/1.1 {code} {phrase}\r\n".encode() for code, phrase in RFC_9110_PHRASES.items()})


def protocol(waiting: Waiting, metrics: Metrics) -> type["Connection"]:
    """Make the class for ``uvicorn.Config(http=…)``, all of whose connections share one list of those that wait."""
    return type("Protocol", (Connection,), {"waiting": waiting, "metrics": metrics})


class Connection(HttpToolsProtocol):
    """One connection. It is ended when it does not send, or does not read, in time.

    The application is called once the body is there, or is larger than it would read: a body that drips costs no task.
    """

    waiting: Waiting
    metrics: Metrics
    neighbourhood: str
    closing = False
    """Set on the class: the service ends, and every answer is the last one on its connection."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._received = 0  # whole requests
        self._answered = 0
        self._in_head = True
        self._taken = 0  # bytes of the message under way
        self._head = 0  # bytes of its path, headers and trailers
        self._head_too_large = False
        self._held: tuple[Any, Any] | None = None  # what to start once the body is there
        self._running: Any = None  # the cycle that was started last
        self._unsent = 0  # bytes of answers, when the clock was started
        self._ended = False  # nothing is read of it any more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self.neighbourhood = buckets(client_address(self.client[0] if self.client else None, (), ()))[0].key
        self.waiting.add(self)
        if self.closing:
            self._close_unless_asked()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and leave no circle of references: a flood's would wait long for the garbage collector."""
        self.waiting.remove(self)
        self._tell_of_the_end()
        super().connection_lost(exc)
        if self._held is not None:
            self._held = self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Count what a message takes."""
        self._taken += len(data)
        if self._taken > _MOST_READ:
            self.flow.pause_reading()  # until its time is over: an answer under way can still be read
        if self._ended:
            return
        super().data_received(data)
        if self._ended:  # refused on the way
            return
        if self._in_head and self._taken > LARGEST_HEAD:
            self._refuse_head()
        elif self._held is not None and self._taken > _LARGEST_HELD:
            self._refuse(413, "too_large", "The request is too large.")

    def on_message_begin(self) -> None:
        """Start the clock anew on a kept connection. OverflowError becomes a parser's error, which ends its work."""
        if self._received - self._answered > MOST_PIPELINED:
            raise OverflowError
        if self.cycle is not None and self._owing and not self.flow.write_paused:
            self.waiting.remove(self)
            self.waiting.add(self)
        self._head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the path."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or trailer."""
        self._count_head(len(name) + len(value))
        super().on_header(name, value)

    def _count_head(self, size: int) -> None:
        self._head += size
        self._head_too_large = self._head > LARGEST_HEAD or len(self.headers) >= MOST_HEADERS
        if self._head_too_large:
            raise OverflowError

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        super().on_headers_complete()
        self._in_head = False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        declared = next((value for name, value in cycle.scope["headers"] if name == b"content-length"), b"0")
        self._held = (cycle, app)
        if not cycle.more_body or int(declared) > MAX_BODY_SIZE:
            self._start_held()
            return
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a part; the application refuses a body that is too large, in words a page can read."""
        super().on_body(body)
        if self._held is not None and len(self.cycle.body) > MAX_BODY_SIZE:
            self._start_held()

    def on_message_complete(self) -> None:
        """Stop the clock: the client owes nothing more."""
        super().on_message_complete()
        self._received += 1
        self._in_head = True
        self._taken = 0
        if self._held is not None:
            self._start_held()
        if not self._owing:
            self.waiting.remove(self)

    def on_response_complete(self) -> None:
        """Wait for another request; uvicorn ends what is idle after its keep-alive time. Answered too early: the end.

        Also a connection that closes is waited for: it does so only when its client has read everything.
        """
        self._answered += 1
        super().on_response_complete()
        if self._answered > self._received and not self.transport.is_closing():
            self._end_reading()
            self.transport.write_eof()
        if self._owing:
            self._unsent = self.transport.get_write_buffer_size()
            self.waiting.add(self)

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read fast enough."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self.waiting.add(self)

    def resume_writing(self) -> None:
        """Stop it, for it reads again; what else it owes has its own time from here."""
        super().resume_writing()
        self.waiting.remove(self)
        if self._owing:
            self.waiting.add(self)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn gives its own words
        """Refuse what is not HTTP, or too much of it, in the shape of every refusal."""
        if self._head_too_large:
            self._refuse_head()
        else:
            self._refuse(400, "bad_request", "This is not a valid HTTP request.")

    def _refuse_head(self) -> None:
        detail = f"The headers are too large: at most {MOST_HEADERS}, and {LARGEST_HEAD // 1024} KiB together."
        self._refuse(431, "headers_too_large", detail)

    def end(self) -> None:
        """End a connection whose time is over, with an answer if a request has begun; go on if it reads, but slowly."""
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            self._unsent = unsent
            self.waiting.remove(self)
            self.waiting.add(self)
        elif self._taken:
            self._refuse(408, "request_timeout", "The request did not arrive in time: send it again.")
        else:
            self.drop()

    def drop(self) -> None:
        """End a connection without a word."""
        if not (self._ended or self.transport.is_closing()):
            self.metrics.dropped()
        self.waiting.remove(self)
        self._tell_of_the_end()
        self.transport.abort()

    @property
    def _owing(self) -> bool:
        return self._received <= self._answered or self.flow.write_paused

    def close_soon(self) -> None:
        """Tell the client with the next answer that it is the last one."""
        if self._running is not None:
            self._running.keep_alive = False

    def shutdown(self) -> None:
        """Close, but let a request that is here or on its way be answered first."""
        if self._received > self._answered or self._taken:
            self.close_soon()
        elif self._received:
            self.transport.close()
        else:
            self._close_unless_asked()

    def _close_unless_asked(self) -> None:
        def close() -> None:
            if not self._received and not self._taken:
                self.transport.close()

        self.loop.call_later(_TO_ASK, close)

    def _start_held(self) -> None:
        assert self._held is not None  # noqa: S101
        cycle, app = self._held
        cycle.keep_alive = cycle.keep_alive and not self.closing
        self._held = None
        self._running = cycle
        super()._start_asgi_task(cycle, answering_early(app, cycle, self._end_reading) if cycle.more_body else app)

    def _tell_of_the_end(self) -> None:
        """Let the application know, or it writes to what is closed; uvicorn tells the last request in line only."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Say the last word, and go a second later: closing at once would take the answer from one who still sends.

        Where answers are under way it would be taken for one of them: the first of them is given, and nothing more.
        """
        begun = not self._in_head and self.cycle.response_started
        if self._ended or self.transport.is_closing():
            self.drop()
            return
        if (self._received != self._answered or begun) and self._running is not None:
            self._running.keep_alive = False  # it closes the connection
            self.pipeline.clear()
            self._end_reading()
            self.waiting.remove(self)
            self.waiting.add(self)
            return
        self.metrics.refused(code)
        self._tell_of_the_end()  # so that it doesn't answer too
        self._end_reading()
        self.waiting.remove(self)
        self.waiting.add(self)  # anew: those who stay are not to be more than may wait
        self.flow.pause_reading()
        self.transport.write(_answer(status, code, detail))
        self.transport.write_eof()
        self.loop.call_later(1, self.transport.abort)

    def _end_reading(self) -> None:
        self._ended = True
        self._held = self.parser = None  # type: ignore[assignment]
        self.headers = []


def _answer(status: int, code: str, detail: str) -> bytes:
    """Write a refusal as it goes over the wire: below ASGI there is nobody else to do it."""
    problem = problem_response(status, code, detail, request_id=str(uuid.uuid4()))
    # It tells nothing of anybody, so any page may read it; whose page it is, nobody knows at this point.
    problem.headers["Access-Control-Allow-Origin"] = "*"
    headers = [*problem.raw_headers, (b"connection", b"close")]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[status] + lines + b"\r\n" + bytes(problem.body)
