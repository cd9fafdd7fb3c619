"""uvicorn's HTTP protocol with one deadline for each connection, a cap on waiting connections, and size limits.

uvicorn itself waits without limit for a request to start or to complete, and stores headers of any size. A slowloris
attack (ten thousand connections, a byte now and then) would use up the memory and the file descriptors.

Only public methods of uvicorn are overridden or called. A request that misses its deadline gets no response.
request_body.py limits bodies, and deploy/nginx.conf limits each address.
"""

import asyncio
import uuid
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import problem_response
from app.metrics import Metrics

TIME_TO_SEND: Final = 7.0
"""Seconds for a whole request, from connecting or from its first byte on a keep-alive connection; then for its response
to be read. uvicorn itself closes an idle keep-alive connection after five seconds."""
MAX_WAITING: Final = 500
"""Connections that may wait for their clients. An honest request arrives at once, so a flood drops its own."""
MAX_HEAD: Final = 32 * 1024
"""Bytes of the path, headers and trailers together: the total of nginx's large_client_header_buffers."""
MAX_HEADERS: Final = 100
"""Headers and trailers of a request. Each costs some 200 bytes of memory, however short. Apache's default as well."""
_GRACE = 0.5  # seconds for the next request of an idle connection at shutdown
_MAX_REQUEST = 64 * 1024  # bytes of a request with its body and the framing of its chunks


def protocol(metrics: Metrics, *, seconds: float = TIME_TO_SEND, most: int = MAX_WAITING) -> type["Connection"]:
    """Return the class for `uvicorn.Config(http=...)`. All its connections share `metrics` and the cap `most`."""
    return type("Protocol", (Connection,), {"metrics": metrics, "waiting": {}, "seconds": seconds, "most": most})


def _bad_request() -> bytes:
    """Return a response in bytes, with its status line and headers: below ASGI no middleware adds them."""
    detail = f"This is no valid HTTP, or has headers of more than {MAX_HEAD // 1024} KiB or {MAX_HEADERS} lines."
    problem = problem_response(400, "bad_request", detail, request_id=str(uuid.uuid4()))
    # Any page may read it: it holds nothing personal, and the page's origin is unknown at this point.
    problem.headers["Access-Control-Allow-Origin"] = "*"
    headers = b"".join(name + b": " + value + b"\r\n" for name, value in problem.raw_headers)
    return b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n" + headers + b"\r\n" + bytes(problem.body)


class Connection(HttpToolsProtocol):
    """One connection. It is dropped when its client does not send or does not read in time."""

    metrics: Metrics
    seconds: float
    most: int
    waiting: dict["Connection", asyncio.TimerHandle]
    """The timers of the connections whose client has to act next, oldest first."""
    _size = 0  # bytes of the request that is arriving
    _head_size = 0  # bytes of its headers and trailers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._update_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the deadline."""
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse a part of a request. Beyond the limit read nothing until the deadline; a response can still be read."""
        self._size += len(data)
        super().data_received(data)
        if self._size > _MAX_REQUEST and not self.transport.is_closing():
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """Start the deadline of the next request. Raises OverflowError for a pipelined one: uvicorn would queue all."""
        if self.cycle is not None:
            if self.cycle.more_body or not self.cycle.response_complete:
                raise OverflowError
            self._update_deadline()
        self._head_size = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header or trailer. Raises OverflowError, which stops the parser, if there are too many."""
        super().on_header(name, value)
        self._head_size += len(name) + len(value)
        if self._head_size + len(self.url) > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            raise OverflowError

    def on_message_complete(self) -> None:
        """Stop the deadline of a request that is complete. If it was answered before, close the connection."""
        super().on_message_complete()
        self._size = 0
        if self.cycle.response_complete:
            self.transport.close()
        else:
            self._update_deadline()

    def on_response_complete(self) -> None:
        """Start the deadline for reading the response. One before the end of its request is the last one."""
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self.transport.write_eof()  # close() would reset a client that still sends, and lose the response
        self._update_deadline()

    def pause_writing(self) -> None:
        """Start the deadline of a client that does not read fast enough. Each part that it reads starts it anew."""
        super().pause_writing()
        self._update_deadline()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's own text
        """Refuse invalid HTTP. While a response is pending, make it the last one: a 400 would be taken for it."""
        if (
            cycle := self.cycle
        ) is None or cycle.response_complete != cycle.more_body:  # neither pending nor answered early
            self.metrics.refused("bad_request")
            self.transport.write(_bad_request())
            self.transport.close()
        else:
            cycle.keep_alive = False
            self.flow.pause_reading()

    def shutdown(self) -> None:
        """Close the connection after a pending response. An idle one gets a moment: a request may be on its way."""
        if self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body):
            self.loop.call_later(_GRACE, self._close_idle)
        else:
            super().shutdown()

    def _close_idle(self) -> None:
        if self in self.waiting and not self._size:
            self.transport.close()

    def _update_deadline(self) -> None:
        """Restart the deadline if the client has to act next, else stop it. Drop the oldest one beyond the cap."""
        self._stop_deadline()
        if (cycle := self.cycle) is None or cycle.response_complete or cycle.more_body or self.flow.write_paused:
            self.waiting[self] = self.loop.call_later(self.seconds, self._drop)
            if len(self.waiting) > self.most:
                next(iter(self.waiting))._drop()

    def _stop_deadline(self) -> None:
        if timer := self.waiting.pop(self, None):
            timer.cancel()

    def _drop(self) -> None:
        self.metrics.dropped()
        self._stop_deadline()
        self.transport.abort()
