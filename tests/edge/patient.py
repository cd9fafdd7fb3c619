"""A real uvicorn with the protocol of app/edge/connections.py, whose patience is half a second; and its clients."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.edge.connections import protocol
from app.edge.waiting import Waiting
from app.metrics import Metrics
from tests.running import until

POST = b"POST / HTTP/1.1\r\nHost: here\r\n"
GET = b"GET / HTTP/1.1\r\nHost: here\r\n"
CLOSE = b"Connection: close\r\n"
MOST = 20
"""Connections that may wait."""
LARGE = 4 * 1024 * 1024
BUFFERED = 60_000  # less than what a transport holds before it tells that it is full
ASK_LARGE = b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n"
ASK_SLOW = b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n"
ASK_BUFFERED = b"GET /buffered HTTP/1.1\r\nHost: here\r\n"
asked: list[str] = []
"""The requests that came to the application, as soon as it was called."""
first_parts: list[tuple[int, bool]] = []
"""Of every body that the application began to read: how many bytes it was given at once, and whether more follow."""


async def echo(request: Request) -> Response:
    return PlainTextResponse(f"read {len(await request.body())}")


async def unread(_request: Request) -> Response:
    return PlainTextResponse("not looked at", 413)


async def large(_request: Request) -> Response:
    return Response(bytes(LARGE))


async def slow(_request: Request) -> Response:
    await asyncio.sleep(0.2)
    return PlainTextResponse("late")


async def buffered(_request: Request) -> Response:
    return Response(bytes(BUFFERED))


@contextlib.contextmanager
def patient_server() -> Iterator[uvicorn.Server]:
    """Run a uvicorn whose connections have half a second."""
    routes = [
        Route("/", echo, methods=["GET", "POST"]),
        Route("/unread", unread, methods=["POST"]),
        Route("/large", large),
        Route("/buffered", buffered),
        Route("/slow", slow),
    ]
    inner = Starlette(routes=routes)

    async def app(scope, receive, send) -> None:
        if scope["type"] == "http":
            asked.append(scope["query_string"].decode())
        begun = False

        async def receiving():
            nonlocal begun
            message = await receive()
            if message["type"] == "http.request" and not begun:
                first_parts.append((len(message["body"]), message["more_body"]))
                begun = True
            return message

        await inner(scope, receiving, send)

    patient = protocol(Waiting(seconds=0.5, most=MOST), Metrics())
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, http=patient, timeout_graceful_shutdown=1))
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that the kernel holds little itself
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        until(lambda: server.started)
        yield server
        server.should_exit = True
        thread.join()


def port_of(server: uvicorn.Server) -> int:
    """Give the port it listens at."""
    return int(server.servers[0].sockets[0].getsockname()[1])


def connect(port: int, *sent: bytes, from_address: str = "127.0.0.1") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(from_address, 0))
    for part in sent:
        connection.sendall(part)
    return connection


def all_read(connection: socket.socket) -> bytes:
    """Read until the far side ends the connection; a reset is an end as well."""
    read = b""
    try:
        while part := connection.recv(65536):
            read += part
    except ConnectionResetError:
        pass
    connection.close()
    return read


def drip(connection: socket.socket, part: bytes) -> None:
    """Send a little, again and again, until the far side has had enough."""
    try:
        while True:
            connection.sendall(part)
            time.sleep(0.05)
    except OSError:
        return


def hardly_reading(port: int, *sent: bytes) -> socket.socket:
    """Connect with room for next to nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", port))
    for part in sent:
        connection.sendall(part)
    return connection


def is_ended(server: uvicorn.Server, connection: socket.socket) -> bool:
    """Tell whether the server has forgotten a connection; asking the socket would mean reading from it."""
    client = connection.getsockname()
    return client not in [known.client for known in list(server.server_state.connections)]
