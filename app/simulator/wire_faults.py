"""Send answers and perform faults. A fault that ASGI can't express acts on the TCP connection.

The simulator's own server (server.py) puts a `Connection` into the scope of every request. Under another ASGI server
there is none: faults that need it can't be scripted (409), and a hanging request ends with 503.
"""

import asyncio
import socket
import struct
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from starlette.types import Receive, Scope, Send

from app.simulator.api import Answer, error_answer
from app.simulator.fault_script import Fault

EXTENSION = "chaser_simulator"
GARBAGE = b"\x16\x03\x01\x00\x2e this is no HTTP \xff\xfe\r\n\r\n"


class Listener(Protocol):
    """The operations of the server that faults use."""

    @property
    def has_control_port(self) -> bool:
        """Whether the control path can be reached while the API port is closed."""

    async def refuse(self, seconds: float | None) -> None:
        """Close the API port for `seconds`, None until `restore`."""

    async def restore(self) -> None:
        """Open the API port again, if it is closed."""


@dataclass(frozen=True)
class Connection:
    """The TCP connection of one request, and its server."""

    transport: asyncio.Transport
    listener: Listener

    def reset(self) -> None:
        """Close the connection with a RST, which the kernel sends if SO_LINGER is zero seconds."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def connection_of(scope: Scope) -> Connection | None:
    """Return the connection of a request, or None under another server."""
    connection = scope.get("extensions", {}).get(EXTENSION)
    return connection if isinstance(connection, Connection) else None


async def send_answer(answer: Answer, send: Send) -> None:
    """Send an answer through ASGI."""
    body = b"" if answer.status in (204, 304) else answer.body
    headers = [(name.lower().encode(), value.encode()) for name, value in _headers_with_date(answer).items()]
    if answer.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def perform(
    fault: Fault, answer: Answer, scope: Scope, receive: Receive, send: Send, stop: asyncio.Event
) -> None:
    """Perform a fault on a request; `answer` is what would be sent without the fault.

    Returns when the answer is sent or the connection is closed. `stop` ends all waiting.
    """
    connection = connection_of(scope)
    async with _Waiter(receive, stop) as waiter:
        if fault.kind == "status":
            await send_answer(answer, send)
        elif fault.kind == "slow":
            await waiter.wait(fault.seconds)
            await send_answer(answer, send)
        elif connection is None:
            await waiter.wait(fault.seconds)
            await send_answer(error_answer(503, "the simulator ends a hanging request"), send)
        else:
            await _perform_on_connection(fault, answer, connection, waiter)
            connection.transport.close()
            if stop.is_set():
                connection.transport.abort()
            # Otherwise uvicorn would log that the app returned without a response.
            await waiter.client_left()


async def _perform_on_connection(fault: Fault, answer: Answer, connection: Connection, waiter: "_Waiter") -> None:
    write = connection.transport.write
    head = _head(answer)
    if fault.kind.startswith("hang"):
        await waiter.wait(fault.seconds)
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
            if await waiter.wait(fault.seconds):
                break


def _headers_with_date(answer: Answer) -> dict[str, str]:
    """Return the headers with a Date of the real time (RFC 9110, section 6.6.1), unless they have one."""
    names = {name.lower() for name in answer.headers}
    return answer.headers if "date" in names else answer.headers | {"date": formatdate(usegmt=True)}


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in _headers_with_date(answer).items()]
    lines += [f"content-length: {len(answer.body)}", "connection: close", "", ""]
    return "\r\n".join(lines).encode()


class _Waiter:
    """Waits, but no longer than the client is connected and the simulator runs."""

    def __init__(self, receive: Receive, stop: asyncio.Event) -> None:
        self._receive = receive
        self._stop = stop

    async def __aenter__(self) -> "_Waiter":
        self._left = asyncio.create_task(self._until_client_leaves())
        self._stopped = asyncio.create_task(self._stop.wait())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._left, self._stopped):
            task.cancel()
        await asyncio.gather(self._left, self._stopped, return_exceptions=True)

    async def wait(self, seconds: float | None) -> bool:
        """Wait for `seconds` (None: for ever). Return True if the client has left or the simulator stops."""
        done, _ = await asyncio.wait([self._left, self._stopped], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    async def client_left(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.wait([self._left])

    async def _until_client_leaves(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
