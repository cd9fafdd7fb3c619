"""Connections that dawdle, against a real uvicorn; the time they get is half a second here, for the test's sake."""

import threading
import time

import pytest
import uvicorn

from tests.edge.patient import (
    ASK_BUFFERED,
    ASK_LARGE,
    CLOSE,
    GET,
    LARGE,
    MOST,
    POST,
    all_read,
    connect,
    drip,
    hardly_reading,
    is_ended,
)
from tests.running import until


def test_a_connection_that_never_says_a_word_is_closed_without_one(port: int) -> None:
    assert all_read(connect(port)) == b""


def told(server: uvicorn.Server) -> dict[str, float]:
    """Give what the connections have counted."""
    families = list(server.config.http_protocol_class.metrics.registry.collect())  # type: ignore[attr-defined]
    samples = [sample for family in families if family.name.startswith("chaser_callback") for sample in family.samples]
    return {sample.labels.get("code", sample.name): sample.value for sample in samples}


def test_what_is_ended_is_counted_once(server: uvicorn.Server, port: int) -> None:
    before = told(server)
    assert all_read(connect(port)) == b""
    assert b'"request_timeout"' in all_read(connect(port, GET[:9]))
    after = told(server)
    dropped = "chaser_callback_connections_dropped_total"
    assert after[dropped] == before[dropped] + 1
    assert after["request_timeout"] == before.get("request_timeout", 0) + 1


@pytest.mark.parametrize(
    "begun",
    [b"G", GET, POST + b"Content-Length: 10\r\n\r\n12345", POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"],
    ids=["request line", "headers", "body", "chunks"],
)
def test_a_request_that_stops_half_way_is_told_so_and_closed(port: int, begun: bytes) -> None:
    answer = all_read(connect(port, begun))
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
def test_a_request_that_drips_is_told_so_and_closed(port: int, begun: bytes, part: bytes) -> None:
    connection = connect(port, begun)
    dripping = threading.Thread(target=drip, args=(connection, part))
    dripping.start()
    answer = all_read(connection)
    dripping.join()
    assert b'"code":"request_timeout"' in answer


def test_a_kept_connection_gets_its_time_for_each_request_and_no_more(port: int) -> None:
    connection = connect(port)
    for _ in range(4):  # together more than one request's time
        connection.sendall(GET)
        time.sleep(0.2)
        connection.sendall(b"\r\n")
        assert connection.recv(65536).endswith(b"read 0")
    connection.sendall(GET)
    assert b'"code":"request_timeout"' in all_read(connection)


@pytest.mark.parametrize(
    "asked_for",
    [
        [ASK_LARGE],
        [ASK_LARGE, GET + b"\r\n"],
        [ASK_LARGE, GET],
        [ASK_LARGE, GET + b"\r\n" + GET],
        [ASK_BUFFERED + b"\r\n"],
        [ASK_BUFFERED + CLOSE + b"\r\n"],
        [ASK_BUFFERED + b"\r\n", b"G"],
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
    connection = hardly_reading(port, ASK_LARGE)
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


def test_the_longest_waiting_goes_when_too_many_wait_and_an_honest_request_comes_through(port: int) -> None:
    idle = [connect(port, b"G") for _ in range(3 * MOST)]
    honest = connect(port, GET + CLOSE + b"\r\n")
    assert all_read(honest).endswith(b"read 0")
    answers = [all_read(connection) for connection in idle]
    # Those pushed out hear nothing, the last ones had their time.
    assert answers[: 2 * MOST] == [b""] * (2 * MOST)
    assert b'"code":"request_timeout"' in answers[-1]


def test_those_who_were_refused_and_stay_are_not_more_than_may_wait(server: uvicorn.Server, port: int) -> None:
    until(lambda: not server.server_state.connections)
    refused = [connect(port, b"?\r\n\r\n") for _ in range(3 * MOST)]
    assert refused[-1].recv(65536).startswith(b"HTTP/1.1 400 ")
    until(lambda: len(server.server_state.connections) <= MOST)  # an end takes effect a moment later
    for connection in refused:
        connection.close()


def test_who_has_most_connections_waiting_loses_one_first(port: int) -> None:
    slow = connect(port, GET)
    crowd = [connect(port, b"G", from_address="127.0.0.9") for _ in range(2 * MOST)]
    slow.sendall(CLOSE + b"\r\n")
    assert all_read(slow).endswith(b"read 0")
    answers = [all_read(connection) for connection in crowd]
    assert answers[:MOST] == [b""] * MOST
