"""A proxy between the browser and the service that injects faults into requests for a callback.

    async with FaultProxy(shops.service.url) as proxy:
        proxy.plan(cut_after, answering(503, "overloaded"))

The service gets the first request, but its answer is lost. The second request is answered with a 503, and all others
pass through. This is a real server, so the browser handles a cut connection as it does in practice.
"""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from app.errors import FieldError, problem_response

_CALLBACKS = b"POST /v1/callbacks "
_READABLE = {"access-control-allow-origin": "*", "access-control-expose-headers": "Retry-After"}


class Exchange:
    """One request of the browser: read completely, not yet answered."""

    def __init__(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: str) -> None:
        self._request = request
        self._reader = reader
        self._writer = writer
        self._to = urlsplit(to)

    async def forward(self) -> bytes:
        """Send the request to the service, and return the raw bytes of its answer."""
        reader, writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        try:
            writer.write(self._request)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    async def answer(self, answer: bytes) -> None:
        """Write bytes to the browser, unless it has closed the connection."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(answer)
            await self._writer.drain()

    def cut(self) -> None:
        """Reset the connection."""
        # With a linger time of 0, closing sends RST instead of FIN.
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def closed_by_browser(self) -> None:
        """Return once the browser has closed the connection."""
        with contextlib.suppress(ConnectionError):
            await self._reader.read()


Behaviour = Callable[[Exchange], Awaitable[None]]


async def pass_through(exchange: Exchange) -> None:
    """Forward the request to the service and its answer to the browser."""
    await exchange.answer(await exchange.forward())


async def cut_before(exchange: Exchange) -> None:
    """Reset the connection before the service gets the request."""
    exchange.cut()


async def cut_after(exchange: Exchange) -> None:
    """Reset the connection after the service has answered, before the first byte of the answer."""
    await exchange.forward()
    exchange.cut()


async def cut_within(exchange: Exchange) -> None:
    """Reset the connection in the middle of the answer's body."""
    whole = await exchange.forward()
    await exchange.answer(whole[:-10])
    exchange.cut()


async def silent(exchange: Exchange) -> None:
    """Never answer, and never forward the request."""
    await exchange.closed_by_browser()


async def silent_after(exchange: Exchange) -> None:
    """Forward the request, and never answer."""
    await exchange.forward()
    await exchange.closed_by_browser()


def answering(
    status: int, code: str, *, errors: Sequence[tuple[str, str]] = (), retry_after: float | None = None
) -> Behaviour:
    """Answer instead of the service, in its format. errors: pairs of field and code; retry_after: seconds."""
    field_errors = [FieldError(field, error_code, "…") for field, error_code in errors]
    response = problem_response(status, code, "…", request_id="none", errors=field_errors, retry_after=retry_after)
    return _responding(status, bytes(response.body), {name: response.headers[name] for name in response.headers})


def answering_with(status: int, body: str, media_type: str = "text/html") -> Behaviour:
    """Answer as another program than the service, such as a proxy or a firewall in front of it."""
    return _responding(status, body.encode(), {"content-type": media_type})


class Gate:
    """Delay one request, or the answer to it, until the gate is opened.

    If the browser closes the connection first, a delayed request never reaches the service.
    """

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Open the gate: the request or the answer passes."""
        self._opened.set()

    async def request(self, exchange: Exchange) -> None:
        """Delay the request."""
        if await self._opened_first(exchange):
            await pass_through(exchange)

    async def response(self, exchange: Exchange) -> None:
        """Forward the request, and delay the answer."""
        whole = await exchange.forward()
        if await self._opened_first(exchange):
            await exchange.answer(whole)

    async def _opened_first(self, exchange: Exchange) -> bool:
        self.reached.set()
        waits = [asyncio.ensure_future(waiting) for waiting in (self._opened.wait(), exchange.closed_by_browser())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self._opened.is_set()


class FaultProxy:
    """The proxy. `url`: its address. `bodies`: the JSON of the requests for a callback, oldest first."""

    def __init__(self, to: str) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.url = ""
        self._to = to
        self._planned: list[Behaviour] = []
        self._preflights: list[Behaviour] = []
        self._open: set[asyncio.Task[None]] = set()

    def clear(self) -> None:
        """Discard the recorded bodies and the planned behaviours."""
        for recorded in (self.bodies, self._planned, self._preflights):
            recorded.clear()

    def plan(self, *behaviours: Behaviour) -> None:
        """Plan the behaviours for the next requests for a callback, one for each."""
        self._planned += behaviours

    def plan_preflights(self, *behaviours: Behaviour) -> None:
        """Plan the behaviours for the next CORS preflights, one for each."""
        self._preflights += behaviours

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            # Browsers also open connections that they never use.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await self._one_request(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *headers = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        named = [header for header in headers if not header.lower().startswith(b"connection:")]
        length = next((int(h.partition(b":")[2]) for h in headers if h.lower().startswith(b"content-length:")), 0)
        body = await reader.readexactly(length)
        # One request per connection: on a reused connection the browser itself repeats a request that was lost.
        request = b"\r\n".join([first, b"Connection: close", *named]) + body
        planned = self._preflights if first.startswith(b"OPTIONS") else []
        if first.startswith(_CALLBACKS):
            self.bodies.append(json.loads(body))
            planned = self._planned
        behaviour = planned.pop(0) if planned else pass_through
        await behaviour(Exchange(request, reader, writer, self._to))


def _responding(status: int, body: bytes, headers: dict[str, str]) -> Behaviour:
    all_headers = headers | _READABLE | {"content-length": str(len(body)), "connection": "close"}
    lines = [f"HTTP/1.1 {status} Of Choice", *(f"{name}: {value}" for name, value in all_headers.items()), "", ""]
    whole = "\r\n".join(lines).encode() + body

    async def respond(exchange: Exchange) -> None:
        await exchange.answer(whole)

    return respond
