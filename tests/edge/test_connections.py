"""Slow connections against a real uvicorn whose deadlines are half a second."""

import threading
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
    read_until_closed,
)
from tests.running import until


def test_a_connection_that_sends_nothing_is_closed_without_a_response(port: int) -> None:
    assert read_until_closed(connect(port)) == b""


def metrics_of(server: uvicorn.Server) -> dict[str, float]:
    """Return the metrics of the connections, by error code or by name."""
    families = list(server.config.http_protocol_class.metrics.registry.collect())  # type: ignore[attr-defined]
    samples = [sample for family in families if family.name.startswith("chaser_callback") for sample in family.samples]
    return {sample.labels.get("code", sample.name): sample.value for sample in samples}


def test_a_closed_connection_is_counted_once(server: uvicorn.Server, port: int) -> None:
    before = metrics_of(server)
    assert read_until_closed(connect(port)) == b""
    assert b'"request_timeout"' in read_until_closed(connect(port, GET[:9]))
    after = metrics_of(server)
    dropped = "chaser_callback_connections_dropped_total"
    assert after[dropped] == before[dropped] + 1
    assert after["request_timeout"] == before.get("request_timeout", 0) + 1


@pytest.mark.parametrize(
    "begun",
    [b"G", GET, POST + b"Content-Length: 10\r\n\r\n12345", POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"],
    ids=["request line", "headers", "body", "chunks"],
)
def test_a_request_that_stops_half_way_gets_408_and_is_closed(port: int, begun: bytes) -> None:
    answer = read_until_closed(connect(port, begun))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert b'"code":"request_timeout"' in answer


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
def test_a_request_that_drips_gets_408_and_is_closed(port: int, begun: bytes, part: bytes) -> None:
    connection = connect(port, begun)
    dripping = threading.Thread(target=drip, args=(connection, part))
    dripping.start()
    answer = read_until_closed(connection)
    dripping.join()
    assert b'"code":"request_timeout"' in answer


def test_a_keep_alive_connection_has_one_deadline_for_each_request(port: int) -> None:
    connection = connect(port)
    for _ in range(4):  # together longer than one request's deadline
        connection.sendall(GET)
        time.sleep(0.2)
        connection.sendall(b"\r\n")
        assert connection.recv(65536).endswith(b"read 0")
    connection.sendall(GET)
    assert b'"code":"request_timeout"' in read_until_closed(connection)


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


def test_a_client_that_reads_slowly_but_steadily_gets_all_of_a_long_response(port: int) -> None:
    connection = connect_slow_reader(port, b"GET /large HTTP/1.1\r\nHost: here\r\n" + CLOSE + b"\r\n")
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
    answers = [read_until_closed(connection) for connection in idle]
    # Evicted connections get no response; the last ones missed their deadline.
    assert answers[: 2 * MAX_WAITING] == [b""] * (2 * MAX_WAITING)
    assert b'"code":"request_timeout"' in answers[-1]


def test_refused_clients_that_stay_connected_count_as_waiting(server: uvicorn.Server, port: int) -> None:
    until(lambda: not server.server_state.connections)
    refused = [connect(port, b"?\r\n\r\n") for _ in range(3 * MAX_WAITING)]
    assert refused[-1].recv(65536).startswith(b"HTTP/1.1 400 ")
    until(lambda: len(server.server_state.connections) <= MAX_WAITING)  # closing takes effect a moment later
    for connection in refused:
        connection.close()


def test_the_network_with_most_waiting_connections_is_evicted_first(port: int) -> None:
    slow = connect(port, GET)
    crowd = [connect(port, b"G", from_address="127.0.0.9") for _ in range(2 * MAX_WAITING)]
    slow.sendall(CLOSE + b"\r\n")
    assert read_until_closed(slow).endswith(b"read 0")
    answers = [read_until_closed(connection) for connection in crowd]
    assert answers[:MAX_WAITING] == [b""] * MAX_WAITING
