"""uvicorn's HTTP protocol with a deadline and a maximum size for every request.

uvicorn itself waits without limit for a request to start or to complete, and stores headers of any size. A slowloris
attack (ten thousand connections, a byte now and then) would use up the memory and the file descriptors.
"""

import asyncio
import uuid
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.edge.connection_reaper import Waiting
from app.edge.early_response import close_after_early_response
from app.edge.request_body import MAX_BODY_SIZE
from app.errors import RFC_9110_PHRASES, problem_response
from app.metrics import Metrics
from app.net.client_address import buckets, client_address

LARGEST_HEAD: Final = 32 * 1024
"""Bytes of the path, headers and trailers together: the total of nginx's large_client_header_buffers."""
MOST_HEADERS: Final = 100
"""Headers and trailers of a request. Each costs some 200 bytes of memory, however short. Apache's default as well."""
MOST_PIPELINED: Final = 10
"""Pipelined requests queued on a connection (RFC 9112, section 9.3.2). Browsers send none."""
_LARGEST_HELD = 128 * 1024  # bytes of a request with its chunk framing, before the application is called
_TO_ASK = 0.5  # seconds of grace for the first request of a connection that is open, but unused, at shutdown
_MOST_READ = 1024 * 1024  # bytes that are read and discarded from a client that still sends after its response

# uvicorn uses Python's phrases, which differ between versions.
STATUS_LINE.update({code: f"HTTP/1.1 {code} {phrase}\r\n".encode() for code, phrase in RFC_9110_PHRASES.items()})


def protocol(waiting: Waiting, metrics: Metrics) -> type["Connection"]:
    """Return the class for `uvicorn.Config(http=...)`. All its connections share `waiting` and `metrics`."""
    return type("Protocol", (Connection,), {"waiting": waiting, "metrics": metrics})


class Connection(HttpToolsProtocol):
    """One connection. It is closed when its client does not send or does not read in time.

    The application is called when the body is complete, or has exceeded MAX_BODY_SIZE. So a slow body costs no task.
    """

    waiting: Waiting
    metrics: Metrics
    neighbourhood: str
    closing = False
    """Set on the class at shutdown: every response then closes its connection."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._received = 0  # complete requests
        self._answered = 0  # complete responses
        self._in_head = True
        self._taken = 0  # bytes of the request that is arriving
        self._head = 0  # bytes of its path, headers and trailers
        self._head_too_large = False
        self._held: tuple[Any, Any] | None = None  # the cycle and application to start when the body is complete
        self._running: Any = None  # the cycle that was started last
        self._unsent = 0  # bytes of responses in the write buffer when the deadline was set
        self._ended = False  # further bytes are discarded

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self.neighbourhood = buckets(client_address(self.client[0] if self.client else None, (), ()))[0].key
        self.waiting.add(self)
        if self.closing:
            self._close_unless_asked()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the deadline and break reference cycles.

        Otherwise the connections of a flood would stay in memory until the garbage collector runs.
        """
        self.waiting.remove(self)
        self._tell_of_the_end()
        super().connection_lost(exc)
        if self._held is not None:
            self._held = self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a request and refuse it if it is too large."""
        self._taken += len(data)
        if self._taken > _MOST_READ:
            self.flow.pause_reading()  # until the deadline; the client can still read a response being sent
        if self._ended:
            return
        super().data_received(data)
        if self._ended:  # the parser's callbacks have refused it
            return
        if self._in_head and self._taken > LARGEST_HEAD:
            self._refuse_head()
        elif self._held is not None and self._taken > _LARGEST_HELD:
            self._refuse(413, "too_large", "The request is too large.")

    def on_message_begin(self) -> None:
        """Restart the deadline of a keep-alive connection. OverflowError stops the parser of a long pipeline."""
        if self._received - self._answered > MOST_PIPELINED:
            raise OverflowError
        if self.cycle is not None and self._owing and not self.flow.write_paused:
            self.waiting.remove(self)
            self.waiting.add(self)
        self._head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a part of the path."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header or trailer."""
        self._count_head(len(name) + len(value))
        super().on_header(name, value)

    def _count_head(self, size: int) -> None:
        self._head += size
        self._head_too_large = self._head > LARGEST_HEAD or len(self.headers) >= MOST_HEADERS
        if self._head_too_large:
            raise OverflowError

    def on_headers_complete(self) -> None:
        """Mark the end of the head."""
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
        """Store a part. A body that is too large goes to the application, whose 413 has CORS headers for the page."""
        super().on_body(body)
        if self._held is not None and len(self.cycle.body) > MAX_BODY_SIZE:
            self._start_held()

    def on_message_complete(self) -> None:
        """Stop the deadline of a request that is complete."""
        super().on_message_complete()
        self._received += 1
        self._in_head = True
        self._taken = 0
        if self._held is not None:
            self._start_held()
        if not self._owing:
            self.waiting.remove(self)

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn closes idle connections after its keep-alive timeout.

        A response before the end of its request is the last one. A closing connection keeps a deadline as well:
        it closes only when its client has read everything.
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
        """Start the deadline of a client that does not read fast enough."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self.waiting.add(self)

    def resume_writing(self) -> None:
        """Stop the deadline of a client that reads again. An incomplete request gets a new one."""
        super().resume_writing()
        self.waiting.remove(self)
        if self._owing:
            self.waiting.add(self)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's own text
        """Refuse invalid HTTP or too large a head with problem+json, like every other error."""
        if self._head_too_large:
            self._refuse_head()
        else:
            self._refuse(400, "bad_request", "This is not a valid HTTP request.")

    def _refuse_head(self) -> None:
        detail = f"The headers are too large: at most {MOST_HEADERS}, and {LARGEST_HEAD // 1024} KiB together."
        self._refuse(431, "headers_too_large", detail)

    def end(self) -> None:
        """Extend the deadline of a client that reads slowly; else respond with 408, or close if nothing has arrived."""
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
        """Close the connection without a response."""
        if not (self._ended or self.transport.is_closing()):
            self.metrics.dropped()
        self.waiting.remove(self)
        self._tell_of_the_end()
        self.transport.abort()

    @property
    def _owing(self) -> bool:
        return self._received <= self._answered or self.flow.write_paused

    def close_soon(self) -> None:
        """Close the connection after the current response, which says `Connection: close`."""
        if self._running is not None:
            self._running.keep_alive = False

    def shutdown(self) -> None:
        """Close the connection after the response to any request that is running or arriving."""
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
        super()._start_asgi_task(
            cycle, close_after_early_response(app, cycle, self._end_reading) if cycle.more_body else app
        )

    def _tell_of_the_end(self) -> None:
        """Notify the running application. uvicorn notifies only the last pipelined request, others would write on."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Send a final error and close one second later.

        Closing at once would reset the connection and lose the response for a client that is still sending.
        While earlier responses are pending, the error would be taken for one of them. Then the running one is
        completed instead, and the connection closes after it.
        """
        begun = not self._in_head and self.cycle.response_started
        if self._ended or self.transport.is_closing():
            self.drop()
            return
        if (self._received != self._answered or begun) and self._running is not None:
            self._running.keep_alive = False  # its response closes the connection
            self.pipeline.clear()
            self._end_reading()
            self.waiting.remove(self)
            self.waiting.add(self)
            return
        self.metrics.refused(code)
        self._tell_of_the_end()  # otherwise the application would send a second response
        self._end_reading()
        self.waiting.remove(self)
        self.waiting.add(self)  # counted again: refused clients that stay connected share the limit of connections
        self.flow.pause_reading()
        self.transport.write(_answer(status, code, detail))
        self.transport.write_eof()
        self.loop.call_later(1, self.transport.abort)

    def _end_reading(self) -> None:
        self._ended = True
        self._held = self.parser = None  # type: ignore[assignment]
        self.headers = []


def _answer(status: int, code: str, detail: str) -> bytes:
    """Return a refusal in bytes, with its status line and headers: below ASGI no middleware adds them."""
    problem = problem_response(status, code, detail, request_id=str(uuid.uuid4()))
    # Any page may read it: it holds nothing personal, and the page's origin is unknown at this point.
    problem.headers["Access-Control-Allow-Origin"] = "*"
    headers = [*problem.raw_headers, (b"connection", b"close")]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[status] + lines + b"\r\n" + bytes(problem.body)
