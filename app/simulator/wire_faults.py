"""Answers on the wire, and the faults acted out: what ASGI can't express is done to the connection itself.

The simulator's own server (server.py) puts a `Connection` into every request's scope. Under any other ASGI server
it is missing; then the faults that need it can't be scripted (the control path answers 409), and a hanging request
that must end is answered 503.
"""

import asyncio
import socket
import struct
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from starlette.types import Receive, Scope, Send

from app.simulator.api import Answer, refusal
from app.simulator.fault_script import Fault

EXTENSION = "chaser_simulator"
GARBAGE = b"\x16\x03\x01\x00\x2e this is no HTTP \xff\xfe\r\n\r\n"


class Listener(Protocol):
    """What a fault may ask of the server that carries the simulator."""

    @property
    def has_control_port(self) -> bool:
        """Whether the control path can be reached while the API port is closed."""

    async def refuse(self, seconds: float | None) -> None:
        """Close the API port, for so long or until `restore`."""

    async def restore(self) -> None:
        """Open the API port again, if it is closed."""


@dataclass(frozen=True)
class Connection:
    """The TCP connection of one request, and the server it came in by."""

    transport: asyncio.Transport
    listener: Listener

    def reset(self) -> None:
        """End the connection with a RST: lingering for zero seconds makes the kernel drop it so."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def connection_of(scope: Scope) -> Connection | None:
    """Find the request's connection, or None under another server."""
    found = scope.get("extensions", {}).get(EXTENSION)
    return found if isinstance(found, Connection) else None


async def send_answer(answer: Answer, send: Send) -> None:
    """Send an answer in the ordinary way."""
    body = b"" if answer.status in (204, 304) else answer.body
    headers = [(name.lower().encode(), value.encode()) for name, value in _dated(answer).items()]
    if answer.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def perform(
    fault: Fault, answer: Answer, scope: Scope, receive: Receive, send: Send, stop: asyncio.Event
) -> None:
    """Answer a request as the fault wants it; `answer` is what would be sent without the fault.

    Returns when the answer is out or the connection is gone. `stop` ends all waiting.
    """
    connection = connection_of(scope)
    async with _Patience(receive, stop) as patience:
        if fault.kind == "status":
            await send_answer(answer, send)
        elif fault.kind == "slow":
            await patience.wait(fault.seconds)
            await send_answer(answer, send)
        elif connection is None:
            await patience.wait(fault.seconds)
            await send_answer(refusal(503, "the simulator ends a hanging request"), send)
        else:
            await _act(fault, answer, connection, patience)
            connection.transport.close()
            if stop.is_set():
                connection.transport.abort()
            # The server has to learn of the end before it can complain that nothing was answered.
            await patience.client_left()


async def _act(fault: Fault, answer: Answer, connection: Connection, patience: "_Patience") -> None:
    write = connection.transport.write
    head = _head(answer)
    if fault.kind.startswith("hang"):
        await patience.wait(fault.seconds)
    elif fault.kind.startswith("reset"):
        connection.reset()
    elif fault.kind == "cut_body":
        write(head + answer.body[: len(answer.body) // 2])
    elif fault.kind == "garbage":
        write(GARBAGE)
    elif fault.kind.startswith("drip"):
        dripping = head + answer.body
        if fault.kind == "drip_body":
            write(head)
            dripping = answer.body
        for byte in dripping:
            write(bytes([byte]))
            if await patience.wait(fault.seconds):
                break


def _dated(answer: Answer) -> dict[str, str]:
    """Give the headers with the real time, as every server tells it (RFC 9110, 6.6.1), unless they have a date."""
    told = {name.lower() for name in answer.headers}
    return answer.headers if "date" in told else answer.headers | {"date": formatdate(usegmt=True)}


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in _dated(answer).items()]
    lines += [f"content-length: {len(answer.body)}", "connection: close", "", ""]
    return "\r\n".join(lines).encode()


class _Patience:
    """Waits no longer than the client stays and the simulator runs."""

    def __init__(self, receive: Receive, stop: asyncio.Event) -> None:
        self._receive = receive
        self._stop = stop

    async def __aenter__(self) -> "_Patience":
        self._left = asyncio.create_task(self._until_client_leaves())
        self._stopped = asyncio.create_task(self._stop.wait())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._left, self._stopped):
            task.cancel()
        await asyncio.gather(self._left, self._stopped, return_exceptions=True)

    async def wait(self, seconds: float | None) -> bool:
        """Wait so long (None: without end); True if the wait is over for good."""
        done, _ = await asyncio.wait([self._left, self._stopped], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    async def client_left(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.wait([self._left])

    async def _until_client_leaves(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
