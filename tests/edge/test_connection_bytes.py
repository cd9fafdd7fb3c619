"""Invalid or contradictory HTTP."""

import contextlib
import logging
import socket
import time
from http.client import parse_headers
from io import BytesIO
from uuid import UUID

import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.errors import SECURITY_HEADERS
from tests.edge.short_deadlines import GET, GET_SLOW, POST, connect, metrics_of, read_until_closed
from tests.running import until


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
def test_invalid_http_is_refused_and_counted(server: uvicorn.Server, port: int, sent: bytes) -> None:
    before = metrics_of(server).get("bad_request", 0)
    head, _, body = read_until_closed(connect(port, sent)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'"code":"bad_request"' in body
    headers = parse_headers(BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n"))
    assert SECURITY_HEADERS.items() <= {name.title(): value for name, value in headers.items()}.items()
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Cache-Control"] == "no-store"
    assert UUID(headers["X-Request-Id"])
    assert metrics_of(server)["bad_request"] == before + 1


@pytest.mark.parametrize("after", [b"?\r\n\r\n", GET + b"\r\n"], ids=["invalid HTTP", "a pipelined request"])
def test_what_follows_a_pending_response_makes_it_the_last_one(port: int, after: bytes) -> None:
    connection = connect(port, GET_SLOW)
    time.sleep(0.1)
    connection.sendall(after)
    answer = read_until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"late")
    assert b"\r\nconnection: close\r\n" in answer


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
def test_no_bytes_cause_an_error_of_the_service(
    server: uvicorn.Server, port: int, caplog: pytest.LogCaptureFixture, parts: list[bytes]
) -> None:
    connection = connect(port, b"".join(parts))
    with contextlib.suppress(OSError):  # it may be closed by now
        connection.shutdown(socket.SHUT_WR)
    read_until_closed(connection)
    until(lambda: not server.server_state.tasks)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == []
