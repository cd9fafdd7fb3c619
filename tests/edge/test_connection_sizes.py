"""Limits of one connection: heads, bodies, chunk framing and pipelined requests."""

import logging
import re
import socket
import struct
import time

import pytest
import uvicorn

from app.edge.connections import LARGEST_HEAD, MOST_HEADERS, MOST_PIPELINED
from app.edge.request_body import MAX_BODY_SIZE
from tests.edge.short_deadlines import (
    CLOSE,
    GET,
    GET_SLOW,
    LARGE,
    POST,
    called_queries,
    connect,
    drip,
    first_parts,
    read_until_closed,
)
from tests.running import until


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
def test_headers_beyond_the_limit_are_refused_while_their_client_sends_on(port: int, begun: bytes, part: bytes) -> None:
    connection = connect(port, begun)
    drip(connection, part)
    answer = read_until_closed(connection)
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
def test_headers_beyond_the_limit_are_refused_when_they_come_at_once(port: int, sent: bytes) -> None:
    for _ in range(10):
        assert b'"code":"headers_too_large"' in read_until_closed(connect(port, sent))


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"Cookie: " + b"x" * 30_000 + b"\r\n",
        GET + b"X-A: b\r\n" * (MOST_HEADERS - 2),
        b"GET /?" + b"x" * 30_000 + b" HTTP/1.1\r\nHost: here\r\n",
    ],
    ids=["many cookies", "many lines", "a long path"],
)
def test_headers_as_large_as_an_honest_client_sends_are_accepted(port: int, sent: bytes) -> None:
    assert read_until_closed(connect(port, sent + CLOSE + b"\r\n")).endswith(b"read 0")


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        (b"1;", b"x" * 65536),
        (b"", b"0000000000000001\r\nx\r\n" * 8000),
        (b"0\r\nX-Long: ", b"x" * 65536),
    ],
    ids=["an extension", "bytes in a chunk each", "a trailer"],
)
def test_endless_chunk_framing_is_refused(port: int, begun: bytes, part: bytes) -> None:
    connection = connect(port, POST + b"Transfer-Encoding: chunked\r\n\r\n", begun)
    drip(connection, part)
    assert b'"code":"too_large"' in read_until_closed(connection)


def test_the_application_is_called_only_when_the_body_is_complete(port: int) -> None:
    connection = connect(port, b"POST /?held HTTP/1.1\r\nHost: here\r\n", CLOSE, b"Content-Length: 5\r\n\r\n1234")
    time.sleep(0.1)
    assert "held" not in called_queries
    connection.sendall(b"5")
    assert read_until_closed(connection).endswith(b"read 5")
    assert "held" in called_queries


CHUNK = b"1000\r\n" + bytes(4096) + b"\r\n"
WAYS = {
    "declared": (b"Content-Length: 3000\r\n\r\n", [bytes(1000)] * 3, 3000),
    "announced": (b"Expect: 100-continue\r\nContent-Length: 3000\r\n\r\n", [bytes(1000)] * 3, 3000),
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n", [CHUNK, CHUNK, b"0\r\n\r\n"], 8192),
    "as large as may be": (b"Transfer-Encoding: chunked\r\n\r\n", [*[CHUNK] * 4, b"0\r\n\r\n"], MAX_BODY_SIZE),
    "too large": (b"Transfer-Encoding: chunked\r\n\r\n", [CHUNK] * 5, None),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_application_never_waits_for_a_body_of_permitted_size(server: uvicorn.Server, port: int, way: str) -> None:
    """Otherwise BodyLimit would need a time limit."""
    before = len(first_parts)
    begins, parts, whole = WAYS[way]
    connection = connect(port, POST, CLOSE, begins)
    for part in parts:
        time.sleep(0.02)
        connection.sendall(part)
    read_until_closed(connection)
    until(lambda: not server.server_state.tasks)  # a body that is too large is an error of this application
    ((size, more),) = first_parts[before:]
    assert more == (whole is None)
    assert size > MAX_BODY_SIZE if more else size == whole


def test_a_client_that_expects_100_continue_gets_it(port: int) -> None:
    connection = connect(port, POST, CLOSE, b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"12345")
    assert read_until_closed(connection).endswith(b"read 5")


@pytest.mark.parametrize(
    "begun",
    [
        b"Content-Length: %d\r\n\r\n" % (MAX_BODY_SIZE + 1),
        b"Expect: 100-continue\r\nContent-Length: 300000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % LARGE + bytes(MAX_BODY_SIZE + 1),
    ],
    ids=["declared", "announced", "chunked"],
)
def test_the_application_is_called_at_once_for_a_body_that_is_too_large(port: int, begun: bytes) -> None:
    answer = read_until_closed(connect(port, b"POST /unread HTTP/1.1\r\nHost: here\r\n", begun))
    assert answer.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert answer.endswith(b"body not read")  # and no second response after it


def test_a_body_that_arrives_after_its_response_does_not_reset_the_response(port: int) -> None:
    connection = connect(port, b"POST /unread HTTP/1.1\r\nHost: here\r\nContent-Length: 500000\r\n\r\n")
    time.sleep(0.1)
    connection.sendall(bytes(500_000) + GET + b"\r\n")
    answer = read_until_closed(connection)
    assert b"\r\nconnection: close\r\n" in answer  # so the client sends no further request on this connection
    assert answer.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert answer.endswith(b"body not read")


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    several = b"".join(
        POST + b"Content-Length: %d\r\n\r\n" % length + bytes(length) for length in range(MOST_PIPELINED)
    )
    answers = read_until_closed(connect(port, several, GET + CLOSE + b"\r\n"))
    assert re.findall(rb"read \d+", answers) == [b"read %d" % length for length in [*range(MOST_PIPELINED), 0]]


def test_ten_thousand_pipelined_requests_are_not_queued(port: int) -> None:
    connection = connect(port)
    before = len(called_queries)
    drip(connection, (GET + b"\r\n") * 10_000)
    read_until_closed(connection)
    assert len(called_queries) - before < 2 * MOST_PIPELINED


def test_pipelined_requests_of_a_client_that_disconnects_log_no_error(
    server: uvicorn.Server, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    gone = connect(port, GET_SLOW * 3)
    overlong = connect(port, GET_SLOW * 2 * MOST_PIPELINED)
    time.sleep(0.1)
    for connection in (gone, overlong):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    until(lambda: not server.server_state.tasks)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_bytes_after_an_upgrade_request_are_not_read_for_long(port: int, caplog: pytest.LogCaptureFixture) -> None:
    connection = connect(port, GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        drip(connection, b"frame")
    assert b"read 0" in read_until_closed(connection)
    assert len(caplog.records) < 5
