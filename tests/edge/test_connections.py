"""Slow connections against a real uvicorn whose deadlines are half a second."""

import time

import pytest
import uvicorn

from tests.edge.short_deadlines import (
    CLOSE,
    GET,
    GET_BUFFERED,
    GET_LARGE,
    LARGE,
    MAX_WAITING,
    POST,
    connect,
    connect_slow_reader,
    drip,
    is_closed,
    metrics_of,
    read_until_closed,
)
from tests.running import until


def test_a_connection_that_sends_nothing_is_closed_without_a_response(port: int) -> None:
    assert read_until_closed(connect(port)) == b""


@pytest.mark.parametrize(
    "begun",
    [
        b"G",
        GET,
        POST + b"Content-Length: 10\r\n\r\n12345",
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        GET + b"X-Long: " + b"x" * 500_000,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 500_000,
    ],
    ids=["request line", "headers", "body", "chunks", "an endless header", "an endless extension"],
)
def test_a_request_that_does_not_arrive_whole_ends_its_connection_and_is_counted_once(
    server: uvicorn.Server, port: int, begun: bytes
) -> None:
    dropped = "chaser_callback_connections_dropped_total"
    before = metrics_of(server)[dropped]
    assert read_until_closed(connect(port, begun)) == b""
    until(lambda: not server.server_state.connections)
    assert metrics_of(server)[dropped] == before + 1


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        (GET, b"X-More: 1\r\n"),
        (POST + b"Content-Length: 10000\r\n\r\n", b"x"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: 1\r\n"),
        (b"", b"\r\n"),
        (GET + b"\r\n", b"\r\n"),
    ],
    ids=["headers", "body", "chunks", "trailers", "empty lines", "empty lines after a request"],
)
def test_a_request_that_drips_ends_its_connection(port: int, begun: bytes, part: bytes) -> None:
    began = time.monotonic()
    with connect(port, begun) as connection:
        drip(connection, part)
    assert 0.4 < time.monotonic() - began < 5


def test_a_keep_alive_connection_has_one_deadline_for_each_request(port: int) -> None:
    connection = connect(port)
    for _ in range(4):  # together longer than one request's deadline
        connection.sendall(GET)
        time.sleep(0.2)
        connection.sendall(b"\r\n")
        assert connection.recv(65536).endswith(b"read 0")
    connection.sendall(GET)
    assert read_until_closed(connection) == b""


@pytest.mark.parametrize(
    "requests",
    [
        [GET_LARGE],
        [GET_LARGE, GET + b"\r\n"],
        [GET_LARGE, GET],
        [GET_LARGE, GET + b"\r\n" + GET],
        [GET_BUFFERED + b"\r\n"],
        [GET_BUFFERED + CLOSE + b"\r\n"],
        [GET_BUFFERED + b"\r\n", b"G"],
    ],
    ids=[
        "a large response",
        "and a second request",
        "and half a request",
        "and one and a half",
        "a small response",
        "the last response",
        "and the first byte of a request",
    ],
)
def test_a_client_that_does_not_read_its_response_is_closed(
    server: uvicorn.Server, port: int, requests: list[bytes]
) -> None:
    connection = connect_slow_reader(port)
    for part in requests:
        connection.sendall(part)
        time.sleep(0.1)
    assert not is_closed(server, connection)
    until(lambda: is_closed(server, connection))
    connection.close()


def test_a_client_that_reads_late_and_stops_in_its_next_request_is_closed(server: uvicorn.Server, port: int) -> None:
    connection = connect_slow_reader(port, GET_LARGE)
    time.sleep(0.2)
    connection.sendall(b"G")
    read = 0
    while read < LARGE:
        read += len(connection.recv(65536))
    until(lambda: is_closed(server, connection))
    connection.close()


def test_a_client_that_reads_slowly_but_steadily_gets_all_of_a_streamed_response(port: int) -> None:
    connection = connect_slow_reader(port, b"GET /streamed HTTP/1.1\r\nHost: here\r\n" + CLOSE + b"\r\n")
    read = 0
    began = time.monotonic()
    while part := connection.recv(65536):
        read += len(part)
        if time.monotonic() - began < 1.5:  # three times the deadline of a client that reads nothing
            time.sleep(0.001)
    connection.close()
    assert read > LARGE


def test_the_oldest_connections_are_evicted_when_too_many_wait_and_an_honest_request_succeeds(port: int) -> None:
    idle = [connect(port, b"G") for _ in range(3 * MAX_WAITING)]
    honest = connect(port, GET + CLOSE + b"\r\n")
    assert read_until_closed(honest).endswith(b"read 0")
    assert [read_until_closed(connection) for connection in idle] == [b""] * len(idle)


def test_at_most_so_many_connections_wait(server: uvicorn.Server, port: int) -> None:
    until(lambda: not server.server_state.connections)
    idle = [connect(port, b"G") for _ in range(3 * MAX_WAITING)]
    until(lambda: len(server.server_state.connections) <= MAX_WAITING)  # closing takes effect a moment later
    for connection in idle:
        connection.close()
