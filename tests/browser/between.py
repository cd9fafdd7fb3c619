"""A proxy between the browser and the service: it carries everything, and treats requests for a callback as told.

    async with Between(shops.service.url) as line:
        line.plan(cut_after, answering(503, "overloaded"))

makes the service take the first request and lose its answer, answer the second one with a 503, and let all others
through. It is a real server: what the browser makes of a cut connection is the browser's own doing.
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
    """One request of the browser, read whole; nothing was answered yet."""

    def __init__(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: str) -> None:
        self._request = request
        self._reader = reader
        self._writer = writer
        self._to = urlsplit(to)

    async def forward(self) -> bytes:
        """Give the request to the service, and its whole answer back."""
        reader, writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        try:
            writer.write(self._request)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    async def answer(self, answer: bytes) -> None:
        """Write bytes to the browser, if it still listens."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(answer)
            await self._writer.drain()

    def cut(self) -> None:
        """Reset the connection."""
        # Without lingering, closing sends RST in place of FIN.
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def given_up(self) -> None:
        """Return once the browser has closed the connection."""
        with contextlib.suppress(ConnectionError):
            await self._reader.read()


Treatment = Callable[[Exchange], Awaitable[None]]


async def passing(exchange: Exchange) -> None:
    """Carry the request to the service and its answer back."""
    await exchange.answer(await exchange.forward())


async def cut_before(exchange: Exchange) -> None:
    """Reset the connection; the service never hears of the request."""
    exchange.cut()


async def cut_after(exchange: Exchange) -> None:
    """Reset the connection when the service has answered, before a byte of that."""
    await exchange.forward()
    exchange.cut()


async def cut_within(exchange: Exchange) -> None:
    """Reset the connection in the middle of the answer's body."""
    whole = await exchange.forward()
    await exchange.answer(whole[:-10])
    exchange.cut()


async def silent(exchange: Exchange) -> None:
    """Never answer; the service never hears of the request."""
    await exchange.given_up()


async def silent_after(exchange: Exchange) -> None:
    """Let the service take the request, and never answer."""
    await exchange.forward()
    await exchange.given_up()


def answering(
    status: int, code: str, *, errors: Sequence[tuple[str, str]] = (), retry_after: float | None = None
) -> Treatment:
    """Answer in the service's stead and in its shape. errors: pairs of field and code; retry_after: seconds."""
    wrong = [FieldError(field, what, "…") for field, what in errors]
    made = problem_response(status, code, "…", request_id="none", errors=wrong, retry_after=retry_after)
    return _saying(status, bytes(made.body), {name: made.headers[name] for name in made.headers})


def answering_with(status: int, body: str, media_type: str = "text/html") -> Treatment:
    """Answer with something that isn't the service's, as a proxy or a firewall before it does."""
    return _saying(status, body.encode(), {"content-type": media_type})


class Hold:
    """Holds one request, or the answer to it, until it is let go.

    Where the browser gives up first, a held request never reaches the service.
    """

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._gate = asyncio.Event()

    def let_go(self) -> None:
        """Let it go on."""
        self._gate.set()

    async def request(self, exchange: Exchange) -> None:
        """Hold the request."""
        if await self._kept(exchange):
            await passing(exchange)

    async def answer(self, exchange: Exchange) -> None:
        """Let the service take the request, and hold its answer."""
        whole = await exchange.forward()
        if await self._kept(exchange):
            await exchange.answer(whole)

    async def _kept(self, exchange: Exchange) -> bool:
        self.reached.set()
        waits = [asyncio.ensure_future(waiting) for waiting in (self._gate.wait(), exchange.given_up())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self._gate.is_set()


class Between:
    """The proxy. `url` is where it listens, `bodies` are the requests for a callback that came, oldest first."""

    def __init__(self, to: str) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.url = ""
        self._to = to
        self._planned: list[Treatment] = []
        self._preflights: list[Treatment] = []
        self._open: set[asyncio.Task[None]] = set()

    def forget(self) -> None:
        """Forget what came and what was planned."""
        for known in (self.bodies, self._planned, self._preflights):
            known.clear()

    def plan(self, *treatments: Treatment) -> None:
        """Say what the next requests for a callback meet, each in its turn."""
        self._planned += treatments

    def plan_preflights(self, *treatments: Treatment) -> None:
        """Say what the next questions of the browser meet, whether the page may send such a request."""
        self._preflights += treatments

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
            # A browser opens connections that it never uses.
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
        # One request a connection: a browser repeats by itself what was lost on a connection it had used before.
        request = b"\r\n".join([first, b"Connection: close", *named]) + body
        planned = self._preflights if first.startswith(b"OPTIONS") else []
        if first.startswith(_CALLBACKS):
            self.bodies.append(json.loads(body))
            planned = self._planned
        treatment = planned.pop(0) if planned else passing
        await treatment(Exchange(request, reader, writer, self._to))


def _saying(status: int, body: bytes, headers: dict[str, str]) -> Treatment:
    said = headers | _READABLE | {"content-length": str(len(body)), "connection": "close"}
    lines = [f"HTTP/1.1 {status} Of Choice", *(f"{name}: {value}" for name, value in said.items()), "", ""]
    whole = "\r\n".join(lines).encode() + body

    async def say(exchange: Exchange) -> None:
        await exchange.answer(whole)

    return say
