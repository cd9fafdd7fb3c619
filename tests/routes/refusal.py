"""Assertions for error responses: their schema, their headers, and that they repeat no text of the request."""

import http.client
import io
import json
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn
from uuid import UUID

import httpx2

from tests.running import ORIGIN

OTHER_ORIGIN = "https://other.example"
ALLOWED_ORIGINS = (ORIGIN, OTHER_ORIGIN)

CANARY = "zqCanaryqz"
"""A marker in everything that these tests send. No response may contain it."""

CANARY_HEADERS = {
    "user-agent": f"{CANARY}/1.0",
    "referer": f"https://{CANARY.lower()}.example/{CANARY}?{CANARY}",
    "cookie": f"session={CANARY}",
    "accept-language": CANARY,
    "x-request-id": CANARY,
    "x-forwarded-for": CANARY,
    "x-forwarded-host": CANARY,
    f"x-{CANARY}": CANARY,
}
_FIELDS = {"type", "title", "status", "code", "detail", "request_id"}
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""The reason phrases of RFC 9110. Python before 3.13 has older ones."""
_MAX_BYTES = 2000


def assert_refused(
    answer: httpx2.Response, status: int, code: str, fields: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Check an error response against everything the API guarantees, and return its body.

    `fields`: the expected codes in `errors`, by field; None: the response has no `errors`.
    """
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.text, parse_constant=_reject_constant)
    assert body.keys() == _FIELDS | ({"errors"} if fields is not None else set())
    assert body["type"] == "about:blank"
    assert body["title"] == _TITLES.get(status, HTTPStatus(status).phrase)
    assert (body["status"], body["code"]) == (status, code)
    assert body["detail"].endswith("."), body["detail"]
    if fields is not None:
        assert {error["field"]: error["code"] for error in body["errors"]} == fields
        assert len(body["errors"]) == len(fields)
        assert all(error.keys() == {"field", "code", "detail"} and error["detail"] for error in body["errors"])

    assert str(UUID(body["request_id"])) == body["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert_protected(answer)
    assert_cors(answer)
    if status in (429, 503, 504) or code in ("challenge_too_fast", "request_in_flight"):
        assert int(answer.headers["retry-after"]) >= 1
    else:
        assert "retry-after" not in answer.headers
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert_not_echoed(answer)
    return body


def assert_protected(answer: httpx2.Response) -> None:
    """Check the security headers of a response, which every response has."""
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    if answer.headers.get("content-type", "").endswith("json"):
        assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    shared = answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert shared == (answer.request.url.path.startswith("/widget") and answer.is_success)


def assert_cors(answer: httpx2.Response) -> None:
    """Check that pages of allowed origins can read a response and its headers, and that no other page can."""
    origin = answer.request.headers.get("origin")
    if origin in ALLOWED_ORIGINS:
        assert answer.headers["access-control-allow-origin"] == origin
        assert "Origin" in answer.headers["vary"]
        if answer.request.method != "OPTIONS":
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            assert {"Retry-After", "X-Request-Id", "Idempotency-Replayed"} == set(exposed)
    else:
        assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-credentials" not in answer.headers


def assert_not_echoed(answer: httpx2.Response) -> None:
    """Check that a response contains no canary, and is shorter than the largest requests of these tests."""
    assert len(answer.content) < _MAX_BYTES
    everything = f"{answer.text} {answer.headers}".lower()
    assert CANARY.lower() not in everything


def raw(url: str, sent: bytes, timeout: float = 10.0) -> httpx2.Response:
    """Send raw bytes and return the response, for requests that no HTTP client would make."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read()
        answer.close()
    return httpx2.Response(answer.status, headers=answer.getheaders(), content=body, request=_request_of(sent))


def _request_of(sent: bytes) -> httpx2.Request:
    """Parse raw bytes as far as possible: the expected CORS headers depend on the Origin header."""
    line, _, rest = sent.partition(b"\r\n")
    headers = http.client.parse_headers(io.BytesIO(rest.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"))
    method = line.split(b" ")[0].decode("latin-1")
    origin = headers.get("Origin")
    return httpx2.Request(method, "http://service", headers={"origin": origin} if origin else {})


def _reject_constant(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")
