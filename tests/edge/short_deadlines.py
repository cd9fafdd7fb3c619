"""A real uvicorn with the protocol of app/edge/connections.py and deadlines of half a second, and clients for it."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app.edge.connections import protocol
from app.edge.request_body import BodyLimit
from app.edge.request_context import RequestContextMiddleware
from app.metrics import Metrics
from tests.running import until

POST = b"POST / HTTP/1.1\r\nHost: here\r\n"
GET = b"GET / HTTP/1.1\r\nHost: here\r\n"
CLOSE = b"Connection: close\r\n"
MAX_WAITING = 20
"""Connections that may wait."""
LARGE = 4 * 1024 * 1024
BUFFERED = 60_000  # bytes; less than a transport buffers before it calls pause_writing()
GET_LARGE = b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n"
GET_SLOW = b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n"
GET_BUFFERED = b"GET /buffered HTTP/1.1\r\nHost: here\r\n"
called_queries: list[str] = []
"""The query strings of the requests for which the application was called."""


async def echo(request: Request) -> Response:
    return PlainTextResponse(f"read {len(await request.body())}")


async def large(_request: Request) -> Response:
    return Response(bytes(LARGE))


async def streamed(_request: Request) -> Response:
    async def parts():
        for _ in range(LARGE // BUFFERED + 1):
            yield bytes(BUFFERED)

    return StreamingResponse(parts())


async def slow(_request: Request) -> Response:
    await asyncio.sleep(0.2)
    return PlainTextResponse("late")


async def buffered(_request: Request) -> Response:
    return Response(bytes(BUFFERED))


@contextlib.contextmanager
def short_deadline_server() -> Iterator[uvicorn.Server]:
    """Run a uvicorn whose connections have deadlines of half a second, with the middleware that reads bodies."""
    routes = [
        Route("/", echo, methods=["GET", "POST"]),
        Route("/large", large),
        Route("/streamed", streamed),
        Route("/buffered", buffered),
        Route("/slow", slow),
    ]
    inner = Starlette(routes=routes)

    async def app(scope, receive, send) -> None:
        if scope["type"] == "http":
            called_queries.append(scope["query_string"].decode())
        await inner(scope, receive, send)

    metrics = Metrics()
    whole = RequestContextMiddleware(BodyLimit(app), (), metrics)
    http = protocol(metrics, seconds=0.5, most=MAX_WAITING)
    server = uvicorn.Server(uvicorn.Config(whole, log_config=None, http=http, timeout_graceful_shutdown=1))
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that the kernel buffers little
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        until(lambda: server.started)
        yield server
        server.should_exit = True
        thread.join()


def port_of(server: uvicorn.Server) -> int:
    """Return the port that a server listens on."""
    return int(server.servers[0].sockets[0].getsockname()[1])


def connect(port: int, *sent: bytes, from_address: str = "127.0.0.1") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(from_address, 0))
    for part in sent:
        connection.sendall(part)
    return connection


def read_until_closed(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes or resets the connection."""
    read = b""
    try:
        while part := connection.recv(65536):
            read += part
    except ConnectionResetError:
        pass
    connection.close()
    return read


def drip(connection: socket.socket, part: bytes) -> None:
    """Send a part every 50 ms until the server closes the connection."""
    try:
        while True:
            connection.sendall(part)
            time.sleep(0.05)
    except OSError:
        return


def connect_slow_reader(port: int, *sent: bytes) -> socket.socket:
    """Connect with a receive buffer of a few KiB, and send, but do not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", port))
    for part in sent:
        connection.sendall(part)
    return connection


def is_closed(server: uvicorn.Server, connection: socket.socket) -> bool:
    """Return whether the server has closed a connection. The socket shows that only when it is read."""
    client = connection.getsockname()
    return client not in [other.client for other in list(server.server_state.connections)]


def metrics_of(server: uvicorn.Server) -> dict[str, float]:
    """Return the metrics of the connections, by error code or by name."""
    families = list(server.config.http_protocol_class.metrics.registry.collect())  # type: ignore[attr-defined]
    samples = [sample for family in families if family.name.startswith("chaser_callback") for sample in family.samples]
    return {sample.labels.get("code", sample.name): sample.value for sample in samples}
