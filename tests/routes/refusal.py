"""The one shape of a refusal, as an assertion for every test that provokes one."""

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
"""Stands in everything a test sends, and so may be in nothing it gets."""

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
_MEMBERS = {"type", "title", "status", "code", "detail", "request_id"}
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Of RFC 9110, where Python before 3.13 has older ones."""
_LONGEST = 2000


def assert_refused(
    answer: httpx2.Response, status: int, code: str, fields: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Check everything that is promised of a refusal, and return its body.

    `fields` are the codes of the `errors` by field; None: the refusal has none.
    """
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.text, parse_constant=_no_json)
    assert body.keys() == _MEMBERS | ({"errors"} if fields is not None else set())
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
    """Check the security headers that every answer of the application has."""
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    if answer.headers.get("content-type", "").endswith("json"):
        assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    shared = answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert shared == (answer.request.url.path.startswith("/widget") and answer.is_success)


def assert_cors(answer: httpx2.Response) -> None:
    """Check that a page of an allowed origin can read the answer and its headers, and that no other page can."""
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
    """Check that nothing with a canary came back, and no answer as long as what was sent."""
    assert len(answer.content) < _LONGEST
    everything = f"{answer.text} {answer.headers}".lower()
    assert CANARY.lower() not in everything


def raw(url: str, sent: bytes, timeout: float = 10.0) -> httpx2.Response:
    """Send bytes as they are and read one answer, for requests that no client would make."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read()
        answer.close()
    return httpx2.Response(answer.status, headers=answer.getheaders(), content=body, request=_request_of(sent))


def _request_of(sent: bytes) -> httpx2.Request:
    """Read back what was sent as far as it can be read: the Origin header decides what may be seen in the answer."""
    line, _, rest = sent.partition(b"\r\n")
    headers = http.client.parse_headers(io.BytesIO(rest.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"))
    method = line.split(b" ")[0].decode("latin-1")
    origin = headers.get("Origin")
    return httpx2.Request(method, "http://service", headers={"origin": origin} if origin else {})


def _no_json(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")
