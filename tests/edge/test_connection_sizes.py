"""Limits of one connection: headers, bodies and pipelined requests."""

import logging
import re
import socket
import struct
import time

import pytest
import uvicorn

from app.edge.connections import MAX_HEAD, MAX_HEADERS
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
    read_until_closed,
)
from tests.running import until


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"X-Long: " + b"x" * MAX_HEAD + b"\r\n\r\n",
        GET + b"X-A: b\r\n" * MAX_HEADERS + b"\r\n",
        b"GET /?" + b"x" * MAX_HEAD + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-A: b\r\n" * MAX_HEADERS + b"\r\n",
    ],
    ids=["one line", "many lines", "the path", "trailers"],
)
def test_headers_beyond_the_limit_are_refused(port: int, sent: bytes) -> None:
    for _ in range(10):
        answer = read_until_closed(connect(port, sent))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"more than 32 KiB or 100 lines" in answer


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"Cookie: " + b"x" * 30_000 + b"\r\n",
        GET + b"X-A: b\r\n" * (MAX_HEADERS - 2),
        b"GET /?" + b"x" * 30_000 + b" HTTP/1.1\r\nHost: here\r\n",
    ],
    ids=["many cookies", "many lines", "a long path"],
)
def test_headers_as_large_as_an_honest_client_sends_are_accepted(port: int, sent: bytes) -> None:
    assert read_until_closed(connect(port, sent + CLOSE + b"\r\n")).endswith(b"read 0")


def test_the_application_is_called_only_when_the_body_is_complete(port: int) -> None:
    connection = connect(port, b"POST /?held HTTP/1.1\r\nHost: here\r\n", CLOSE, b"Content-Length: 5\r\n\r\n1234")
    time.sleep(0.1)
    assert "held" not in called_queries
    connection.sendall(b"5")
    assert read_until_closed(connection).endswith(b"read 5")
    assert "held" in called_queries


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
def test_a_body_that_is_too_large_is_refused_at_once(port: int, begun: bytes) -> None:
    with connect(port, b"POST /?large HTTP/1.1\r\nHost: here\r\n", begun) as connection:
        answer = b"".join(iter(lambda: connection.recv(65536), b""))  # its end: the client has to use another one
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert answer.endswith(b"}")
        drip(connection, bytes(65536))  # ends at the deadline
    assert "large" not in called_queries


def test_a_body_that_arrives_after_its_response_does_not_reset_the_response(port: int) -> None:
    with connect(port, POST + b"Content-Length: 50000\r\n\r\n") as connection:
        time.sleep(0.1)
        connection.sendall(bytes(50_000) + GET + b"\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"413"]


def test_ten_thousand_pipelined_requests_are_not_queued(port: int) -> None:
    before = len(called_queries)
    with connect(port) as connection:
        drip(connection, (GET + b"\r\n") * 10_000)
    assert len(called_queries) - before <= 1


def test_a_client_that_disconnects_before_its_response_logs_no_error(
    server: uvicorn.Server, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    gone = [connect(port, GET_SLOW), connect(port, GET_SLOW * 3), connect(port, POST + b"Content-Length: 5\r\n\r\n1")]
    time.sleep(0.1)
    for connection in gone:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    until(lambda: not server.server_state.tasks)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_bytes_after_an_upgrade_request_are_not_read_for_long(port: int) -> None:
    with connect(port, GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n") as connection:
        assert connection.recv(65536).endswith(b"read 0")
        drip(connection, b"frame")
