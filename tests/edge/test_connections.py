"""Connections that dawdle, against a real uvicorn; the time they get is half a second here, for the test's sake."""

import asyncio
import contextlib
import logging
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.edge.body import MAX_BODY_SIZE
from app.edge.connections import LARGEST_HEAD, MOST_HEADERS, MOST_PIPELINED, protocol
from app.edge.waiting import Waiting
from tests.running import until

POST = b"POST / HTTP/1.1\r\nHost: here\r\n"
GET = b"GET / HTTP/1.1\r\nHost: here\r\n"
CLOSE = b"Connection: close\r\n"
MOST = 20
LARGE = 4 * 1024 * 1024
BUFFERED = 60_000  # less than what a transport holds before it tells that it is full
asked: list[str] = []
"""The requests that came to the application, as soon as it was called."""


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


@pytest.fixture(scope="module")
def server() -> Iterator[uvicorn.Server]:
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
        await inner(scope, receive, send)

    patient = protocol(Waiting(seconds=0.5, most=MOST))
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


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    return server.servers[0].sockets[0].getsockname()[1]


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
        (b"", b"\r\n"),
    ],
    ids=["headers", "body", "chunks", "trailers", "empty lines"],
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


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        (GET + b"X-Long: ", b"x" * 65536),
        (GET, b"X-A: b\r\n" * 1000),
        (GET, b"a:b\r\n" * (MOST_HEADERS + 1)),
        (b"GET /", b"x" * 65536),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n" * 1000),
    ],
    ids=["one line", "many lines", "short lines", "the path", "trailers"],
)
def test_headers_beyond_the_limit_are_refused_though_their_sender_sends_on(
    port: int, begun: bytes, part: bytes
) -> None:
    connection = connect(port, begun)
    drip(connection, part)
    answer = all_read(connection)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"headers_too_large"' in answer


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"X-Long: " + b"x" * LARGEST_HEAD + b"\r\n\r\n",
        GET + b"X-A: b\r\n" * MOST_HEADERS + b"\r\n",
        b"GET /?" + b"x" * LARGEST_HEAD + b" HTTP/1.1\r\nHost: here\r\n\r\n",
    ],
    ids=["one line", "many lines", "the path"],
)
def test_headers_beyond_the_limit_are_refused_also_when_they_come_at_once(port: int, sent: bytes) -> None:
    for _ in range(10):
        assert b'"code":"headers_too_large"' in all_read(connect(port, sent))


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"Cookie: " + b"x" * 30_000 + b"\r\n",
        GET + b"X-A: b\r\n" * (MOST_HEADERS - 2),
        b"GET /?" + b"x" * 30_000 + b" HTTP/1.1\r\nHost: here\r\n",
    ],
    ids=["many cookies", "many lines", "a long path"],
)
def test_headers_as_large_as_any_honest_client_sends_are_read(port: int, sent: bytes) -> None:
    assert all_read(connect(port, sent + CLOSE + b"\r\n")).endswith(b"read 0")


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        (b"1;", b"x" * 65536),
        (b"", b"0000000000000001\r\nx\r\n" * 1000),
        (b"0\r\nX-Long: ", b"x" * 65536),
    ],
    ids=["an extension", "bytes in a chunk each", "a trailer"],
)
def test_framing_without_end_is_refused(port: int, begun: bytes, part: bytes) -> None:
    connection = connect(port, POST + b"Transfer-Encoding: chunked\r\n\r\n", begun)
    drip(connection, part)
    assert b'"code":"too_large"' in all_read(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"CONNECT [::1 HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET http://here:port/ HTTP/1.1\r\nHost: here\r\n\r\n",
        GET + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["TLS", "CONNECT", "a broken address", "a broken port", "two lengths"],
)
def test_what_is_not_http_is_refused_in_the_shape_of_every_refusal(port: int, sent: bytes) -> None:
    answer = all_read(connect(port, sent))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"not_http"' in answer


PARTS = [
    *(
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"CONNECT ",
        b"PRI * HTTP/2.0",
        b"/",
        b"*",
        b"http://[",
        b"here:99999",
        b"%ff",
        b"?a#b",
    ),
    *(
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b" HTTP/9.9\r\n",
        b"Host: here\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b": ",
    ),
    *(
        b"Content-Length: 3\r\n",
        b"Content-Length: 99999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
    ),
    *(
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"abc",
        b"3\r\n",
        b"0\r\n",
        b"ffff\r\n",
        b"-1",
    ),
    *(GET + b"\r\n", POST + b"Content-Length: 3\r\n\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\n", bytes(17_000)),
]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PARTS) | st.binary(max_size=20), max_size=12))
@example([b"CONNECT ", b"/", b" HTTP/1.1\r\n", b"\r\n", b"abc"])
def test_whatever_bytes_come_no_error_is_ours(
    server: uvicorn.Server, port: int, caplog: pytest.LogCaptureFixture, parts: list[bytes]
) -> None:
    connection = connect(port, b"".join(parts))
    with contextlib.suppress(OSError):  # it may be closed by now
        connection.shutdown(socket.SHUT_WR)
    all_read(connection)
    until(lambda: not server.server_state.tasks)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record for record in errors if not disconnected(record)] == []


def disconnected(record: logging.LogRecord) -> bool:
    """Tell whether the application of this test was told that its client has gone, which it leaves to the server."""
    return record.exc_info is not None and isinstance(record.exc_info[1], ClientDisconnect)


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


ask_large = b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n"
ask_slow = b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n"
ask_buffered = b"GET /buffered HTTP/1.1\r\nHost: here\r\n"


@pytest.mark.parametrize(
    "asked_for",
    [
        [ask_large],
        [ask_large, GET + b"\r\n"],
        [ask_large, GET],
        [ask_large, GET + b"\r\n" + GET],
        [ask_buffered + b"\r\n"],
        [ask_buffered + CLOSE + b"\r\n"],
        [ask_buffered + b"\r\n", b"G"],
    ],
    ids=[
        "one answer",
        "and asks again",
        "and asks half",
        "and one and a half",
        "a small one",
        "the last one",
        "begins",
    ],
)
def test_a_client_that_does_not_read_its_answer_is_closed(
    server: uvicorn.Server, port: int, asked_for: list[bytes]
) -> None:
    connection = hardly_reading(port)
    for part in asked_for:
        connection.sendall(part)
        time.sleep(0.1)
    assert not is_ended(server, connection)
    until(lambda: is_ended(server, connection))
    connection.close()


def test_a_client_that_reads_late_and_stops_in_its_next_request_is_closed(server: uvicorn.Server, port: int) -> None:
    connection = hardly_reading(port, ask_large)
    time.sleep(0.2)
    connection.sendall(b"G")
    read = 0
    while read < LARGE:
        read += len(connection.recv(65536))
    until(lambda: is_ended(server, connection))
    connection.close()


def test_a_client_that_reads_slowly_but_steadily_gets_all_of_a_long_answer(port: int) -> None:
    connection = hardly_reading(port, b"GET /large HTTP/1.1\r\nHost: here\r\n" + CLOSE + b"\r\n")
    read = 0
    began = time.monotonic()
    while part := connection.recv(65536):
        read += len(part)
        if time.monotonic() - began < 1.5:  # three times what it has without reading
            time.sleep(0.001)
    connection.close()
    assert read > LARGE


def test_the_application_is_not_called_before_the_body_is_there(port: int) -> None:
    connection = connect(port, b"POST /?held HTTP/1.1\r\nHost: here\r\n", CLOSE, b"Content-Length: 5\r\n\r\n1234")
    time.sleep(0.1)
    assert "held" not in asked
    connection.sendall(b"5")
    assert all_read(connection).endswith(b"read 5")
    assert "held" in asked


def test_who_wants_to_be_told_to_send_the_body_is_told(port: int) -> None:
    connection = connect(port, POST, CLOSE, b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"12345")
    assert all_read(connection).endswith(b"read 5")


@pytest.mark.parametrize(
    "begun",
    [
        b"Content-Length: %d\r\n\r\n" % (MAX_BODY_SIZE + 1),
        b"Expect: 100-continue\r\nContent-Length: 300000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % LARGE + bytes(MAX_BODY_SIZE + 1),
    ],
    ids=["declared", "announced", "chunked"],
)
def test_the_application_is_called_for_what_is_too_large_to_wait_for(port: int, begun: bytes) -> None:
    answer = all_read(connect(port, b"POST /unread HTTP/1.1\r\nHost: here\r\n", begun))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"not looked at")  # and no second answer behind it


def test_a_body_that_comes_after_its_answer_is_let_come_so_that_the_answer_is_not_lost(port: int) -> None:
    connection = connect(port, b"POST /unread HTTP/1.1\r\nHost: here\r\nContent-Length: 500000\r\n\r\n")
    time.sleep(0.1)
    connection.sendall(bytes(500_000) + GET + b"\r\n")
    answer = all_read(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"not looked at")


def test_requests_sent_without_waiting_for_answers_are_answered_in_their_order(port: int) -> None:
    several = b"".join(
        POST + b"Content-Length: %d\r\n\r\n" % length + bytes(length) for length in range(MOST_PIPELINED)
    )
    answers = all_read(connect(port, several, GET + CLOSE + b"\r\n"))
    assert re.findall(rb"read \d+", answers) == [b"read %d" % length for length in [*range(MOST_PIPELINED), 0]]


def test_ten_thousand_requests_at_once_on_one_connection_are_not_queued(port: int) -> None:
    connection = connect(port)
    before = len(asked)
    drip(connection, (GET + b"\r\n") * 10_000)
    all_read(connection)
    assert len(asked) - before < 2 * MOST_PIPELINED


def test_requests_in_line_whose_client_goes_away_are_no_fault_of_the_application(
    server: uvicorn.Server, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    gone = connect(port, ask_slow * 3)
    overdone = connect(port, ask_slow * 2 * MOST_PIPELINED)
    time.sleep(0.1)
    for connection in (gone, overdone):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    until(lambda: not server.server_state.tasks)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_what_follows_a_request_to_upgrade_is_not_read_for_long(port: int, caplog: pytest.LogCaptureFixture) -> None:
    connection = connect(port, GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        drip(connection, b"frame")
    assert b"read 0" in all_read(connection)
    assert len(caplog.records) < 5


def test_a_refusal_can_be_read_by_any_page_and_has_the_headers_of_every_answer(port: int) -> None:
    head = all_read(connect(port, b"?\r\n\r\n")).partition(b"\r\n\r\n")[0].lower()
    assert b"\r\naccess-control-allow-origin: *" in head
    assert b"\r\nx-content-type-options: nosniff" in head
    assert re.search(rb"\r\nx-request-id: [0-9a-f-]{36}", head)


def test_the_longest_waiting_goes_when_too_many_wait_and_an_honest_request_comes_through(port: int) -> None:
    idle = [connect(port, b"G") for _ in range(3 * MOST)]
    honest = connect(port, GET + CLOSE + b"\r\n")
    assert all_read(honest).endswith(b"read 0")
    answers = [all_read(connection) for connection in idle]
    # Those pushed out hear nothing, the last ones had their time.
    assert answers[: 2 * MOST] == [b""] * (2 * MOST)
    assert b'"code":"too_slow"' in answers[-1]


def test_those_who_were_refused_and_stay_are_not_more_than_may_wait(server: uvicorn.Server, port: int) -> None:
    until(lambda: not server.server_state.connections)
    refused = [connect(port, b"?\r\n\r\n") for _ in range(3 * MOST)]
    assert refused[-1].recv(65536).startswith(b"HTTP/1.1 400 ")
    assert len(server.server_state.connections) <= MOST
    for connection in refused:
        connection.close()


def test_who_has_most_connections_waiting_loses_one_first(port: int) -> None:
    slow = connect(port, GET)
    crowd = [connect(port, b"G", from_address="127.0.0.9") for _ in range(2 * MOST)]
    slow.sendall(CLOSE + b"\r\n")
    assert all_read(slow).endswith(b"read 0")
    answers = [all_read(connection) for connection in crowd]
    assert answers[:MOST] == [b""] * MOST
