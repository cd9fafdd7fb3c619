"""What one connection may send: heads, bodies, framing, and requests in line."""

import logging
import re
import socket
import struct
import time

import pytest
import uvicorn

from app.edge.connections import LARGEST_HEAD, MOST_HEADERS, MOST_PIPELINED
from app.edge.request_body import MAX_BODY_SIZE
from tests.edge.patient import (
    ASK_SLOW,
    CLOSE,
    GET,
    LARGE,
    POST,
    all_read,
    asked,
    connect,
    drip,
    first_parts,
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
        (b"", b"0000000000000001\r\nx\r\n" * 8000),
        (b"0\r\nX-Long: ", b"x" * 65536),
    ],
    ids=["an extension", "bytes in a chunk each", "a trailer"],
)
def test_framing_without_end_is_refused(port: int, begun: bytes, part: bytes) -> None:
    connection = connect(port, POST + b"Transfer-Encoding: chunked\r\n\r\n", begun)
    drip(connection, part)
    assert b'"code":"too_large"' in all_read(connection)


def test_the_application_is_not_called_before_the_body_is_there(port: int) -> None:
    connection = connect(port, b"POST /?held HTTP/1.1\r\nHost: here\r\n", CLOSE, b"Content-Length: 5\r\n\r\n1234")
    time.sleep(0.1)
    assert "held" not in asked
    connection.sendall(b"5")
    assert all_read(connection).endswith(b"read 5")
    assert "held" in asked


CHUNK = b"1000\r\n" + bytes(4096) + b"\r\n"
WAYS = {
    "declared": (b"Content-Length: 3000\r\n\r\n", [bytes(1000)] * 3, 3000),
    "announced": (b"Expect: 100-continue\r\nContent-Length: 3000\r\n\r\n", [bytes(1000)] * 3, 3000),
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n", [CHUNK, CHUNK, b"0\r\n\r\n"], 8192),
    "as large as may be": (b"Transfer-Encoding: chunked\r\n\r\n", [*[CHUNK] * 4, b"0\r\n\r\n"], MAX_BODY_SIZE),
    "too large": (b"Transfer-Encoding: chunked\r\n\r\n", [CHUNK] * 5, None),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_application_never_waits_for_a_body_that_it_would_read(server: uvicorn.Server, port: int, way: str) -> None:
    """So it needs no time limit of its own: see BodyLimit."""
    before = len(first_parts)
    begins, parts, whole = WAYS[way]
    connection = connect(port, POST, CLOSE, begins)
    for part in parts:
        time.sleep(0.02)
        connection.sendall(part)
    all_read(connection)
    until(lambda: not server.server_state.tasks)  # what is too large is an error for this application
    ((size, more),) = first_parts[before:]
    assert more == (whole is None)
    assert size > MAX_BODY_SIZE if more else size == whole


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
    assert answer.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert answer.endswith(b"not looked at")  # and no second answer behind it


def test_a_body_that_comes_after_its_answer_is_let_come_so_that_the_answer_is_not_lost(port: int) -> None:
    connection = connect(port, b"POST /unread HTTP/1.1\r\nHost: here\r\nContent-Length: 500000\r\n\r\n")
    time.sleep(0.1)
    connection.sendall(bytes(500_000) + GET + b"\r\n")
    answer = all_read(connection)
    assert b"\r\nconnection: close\r\n" in answer  # so that its client sends nothing after it on this connection
    assert answer.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
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
    gone = connect(port, ASK_SLOW * 3)
    overdone = connect(port, ASK_SLOW * 2 * MOST_PIPELINED)
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
