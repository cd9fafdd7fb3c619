"""Invalid or contradictory HTTP, and the errors that are written below the application."""

import contextlib
import logging
import socket
from http.client import parse_headers
from io import BytesIO
from uuid import UUID

import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from app.edge.connections import MOST_HEADERS
from app.errors import SECURITY_HEADERS
from tests.edge.short_deadlines import GET, POST, connect, read_until_closed
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
def test_invalid_http_is_refused_with_problem_json(port: int, sent: bytes) -> None:
    answer = read_until_closed(connect(port, sent))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_request"' in answer


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, b"?\r\n\r\n"),
        (408, GET),
        (413, POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 200_000),
        (431, GET + b"X-A: b\r\n" * MOST_HEADERS + b"\r\n"),
    ],
)
def test_a_refusal_is_readable_for_any_page_and_has_the_headers_of_every_response(
    port: int, status: int, sent: bytes
) -> None:
    head = read_until_closed(connect(port, sent)).partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 %d " % status)
    headers = parse_headers(BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n"))
    assert SECURITY_HEADERS.items() <= {name.title(): value for name, value in headers.items()}.items()
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Cache-Control"] == "no-store"
    assert UUID(headers["X-Request-Id"])


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
    assert [record for record in errors if not disconnected(record)] == []


def disconnected(record: logging.LogRecord) -> bool:
    """Return whether an error is the disconnect of a client, which this test's application does not handle."""
    return record.exc_info is not None and isinstance(record.exc_info[1], ClientDisconnect)
