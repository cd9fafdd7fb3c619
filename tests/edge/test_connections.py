"""Connections that dawdle, against a real uvicorn; the time they get is half a second here, for the test's sake."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.edge.connections import Waiting, protocol

POST = b"POST / HTTP/1.1\r\nHost: here\r\n"
GET = b"GET / HTTP/1.1\r\nHost: here\r\n"
MOST = 20
LARGE = 4 * 1024 * 1024


async def echo(request: Request) -> Response:
    return PlainTextResponse(f"read {len(await request.body())}")


async def large(_request: Request) -> Response:
    return Response(bytes(LARGE))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/large", large)])
    patient = protocol(Waiting(seconds=0.5, most=MOST))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, http=patient, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def connect(port: int, *sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
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


def test_a_connection_that_never_says_a_word_is_closed_without_one(port: int) -> None:
    assert all_read(connect(port)) == b""


@pytest.mark.parametrize(
    "begun",
    [b"G", GET, POST + b"Content-Length: 10\r\n\r\n12345", POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"],
    ids=["request line", "headers", "body", "chunks"],
)
def test_a_request_that_stops_half_way_is_told_so_and_closed(port: int, begun: bytes) -> None:
    answer = all_read(connect(port, begun))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert b'"code":"too_slow"' in answer


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        (GET, b"X-More: 1\r\n"),
        (POST + b"Content-Length: 100000\r\n\r\n", b"x"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: 1\r\n"),
    ],
    ids=["headers", "body", "chunks", "trailers"],
)
def test_a_request_that_drips_is_told_so_and_closed(port: int, begun: bytes, part: bytes) -> None:
    connection = connect(port, begun)
    dripping = threading.Thread(target=drip, args=(connection, part))
    dripping.start()
    answer = all_read(connection)
    dripping.join()
    assert b'"code":"too_slow"' in answer


def test_a_kept_connection_gets_its_time_for_each_request_and_no_more(port: int) -> None:
    connection = connect(port)
    for _ in range(4):  # together more than one request's time
        connection.sendall(GET)
        time.sleep(0.2)
        connection.sendall(b"\r\n")
        assert connection.recv(65536).endswith(b"read 0")
    connection.sendall(GET)
    assert b'"code":"too_slow"' in all_read(connection)


def test_headers_beyond_the_limit_are_refused_though_their_sender_sends_on(port: int) -> None:
    connection = connect(port, GET + b"X-Long: ")
    drip(connection, b"x" * 65536)
    assert b'"code":"headers_too_large"' in all_read(connection)


def test_headers_that_a_browser_with_many_cookies_sends_are_read(port: int) -> None:
    connection = connect(port, GET + b"Cookie: " + b"x" * 40_000 + b"\r\nConnection: close\r\n\r\n")
    assert all_read(connection).endswith(b"read 0")


def test_what_is_not_http_is_refused_in_the_shape_of_every_refusal(port: int) -> None:
    answer = all_read(connect(port, b"\x16\x03\x01\x02\x00\x01\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"not_http"' in answer


def test_a_client_that_does_not_read_its_answer_is_closed(port: int) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", port))
    connection.sendall(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n")
    time.sleep(2)  # longer than its time
    assert len(all_read(connection)) < LARGE


def test_the_longest_waiting_goes_when_too_many_wait_and_an_honest_request_comes_through(port: int) -> None:
    idle = [connect(port, b"G") for _ in range(3 * MOST)]
    honest = connect(port, GET + b"Connection: close\r\n\r\n")
    assert all_read(honest).endswith(b"read 0")
    answers = [all_read(connection) for connection in idle]
    # Those pushed out hear nothing, the last ones had their time.
    assert answers[: 2 * MOST] == [b""] * (2 * MOST)
    assert b'"code":"too_slow"' in answers[-1]
