"""Every error becomes a problem document that repeats no text of the request."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from app.edge.request_context import RequestContextMiddleware
from app.metrics import Metrics
from app.routes.exception_handlers import register_exception_handlers
from tests.routes.conftest import BOUND_KEY, READER_KEY
from tests.routes.refusal import (
    CANARY,
    CANARY_HEADERS,
    OTHER_ORIGIN,
    assert_not_echoed,
    assert_protected,
    assert_refused,
    raw,
)
from tests.running import API_KEY, ORIGIN, Service, client, phone

JSON = {"content-type": "application/json"}
PAGE = {"origin": ORIGIN, **JSON}
GOOD: dict[str, Any] = {"site": "shop", "client_phone": "89161234567"}


@pytest.fixture(scope="module")
def http(here: Service) -> Iterator[httpx2.Client]:
    """A client that sends the canary in every header and in the query string."""
    with client(here.url) as plain:
        plain.headers.update(CANARY_HEADERS)
        plain.params = {"q": CANARY}
        yield plain


def post(http: httpx2.Client, body: bytes | dict[str, Any], **headers: str) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.post("/v1/callbacks", content=content, headers=PAGE | named)


def encoded(**fields: Any) -> bytes:
    """Return a valid body with a canary in one field, and other fields as given."""
    return json.dumps(GOOD | {"referrer": f"https://a.example/{CANARY}"} | fields, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        f'{{"{CANARY}'.encode(),
        f'{{"{CANARY}": }}'.encode(),
        encoded() + b"}",
        encoded() + encoded(),
        f"site={CANARY}".encode(),
        b"[]",
        f'["{CANARY}"]'.encode(),
        f'"{CANARY}"'.encode(),
        b"1",
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"[" * 16_000,
        b"[" * 8_000 + b"]" * 8_000,
        b'{"a":' * 3_000 + b"1" + b"}" * 1_000,
        b'{"site":"shop","client_phone":' + b"[" * 7_000 + b"]" * 7_000 + b"}",
        b'{"site":"shop","client_phone":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"site":"shop","client_phone":' + b"9" * 5_000 + b"}",  # more digits than Python converts
        b'{"site":"shop","client_phone":"89161234567","\\ud800":1}',
    ],
)
def test_a_body_other_than_a_json_object_is_malformed(http: httpx2.Client, body: bytes) -> None:
    assert_refused(post(http, body), 400, "malformed")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig"])
def test_a_body_in_another_encoding_is_refused(http: httpx2.Client, encoding: str) -> None:
    assert_refused(post(http, encoded().decode().encode(encoding)), 400, "not_utf8")


@pytest.mark.parametrize(
    "body", [encoded(referrer="é").decode().encode("latin-1"), encoded() + b"\0", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf"]
)
def test_a_body_that_is_not_utf_8_is_refused(http: httpx2.Client, body: bytes) -> None:
    assert_refused(post(http, body), 400, "not_utf8")


def test_two_different_request_ids_are_refused(http: httpx2.Client) -> None:
    answer = post(http, encoded(request_id=CANARY), idempotency_key=f"{CANARY}-2")
    assert_refused(answer, 400, "idempotency_key_mismatch")


def test_two_different_idempotency_keys_are_refused(http: httpx2.Client) -> None:
    headers = [*PAGE.items(), ("idempotency-key", CANARY), ("idempotency-key", f"{CANARY}-2")]
    assert_refused(http.post("/v1/callbacks", content=encoded(), headers=headers), 400, "idempotency_key_mismatch")


@pytest.mark.parametrize(
    "authorization", ["", CANARY, "Bearer", f"Bearer {CANARY}", f"Basic {API_KEY}", f"Bearer {API_KEY}x"]
)
def test_an_unknown_api_key_is_refused(http: httpx2.Client, authorization: str) -> None:
    assert_refused(post(http, encoded(), authorization=authorization), 401, "invalid_api_key")


def test_a_request_without_an_origin_needs_a_key(http: httpx2.Client) -> None:
    assert_refused(http.post("/v1/callbacks", content=encoded(), headers=JSON), 403, "origin_missing")


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "*",
        f"https://{CANARY}.example",
        f"https://shop.example.{CANARY}.example",
        f"https://{CANARY}shop.example",
        f"https://shop.example@{CANARY}.example",
        "https://shop.example/",
        "https://shop.example:443",
        "https://shop.example:8443",
        "http://shop.example",
        "HTTPS://SHOP.EXAMPLE",
        "https://xn--hop-rzc.example",
        f"https://shop.example https://{CANARY}.example",
        OTHER_ORIGIN,
    ],
)
def test_an_origin_that_is_not_the_sites_is_refused(http: httpx2.Client, origin: str) -> None:
    assert_refused(post(http, encoded(), origin=origin), 403, "origin_not_allowed")


def test_a_key_without_the_scope_is_refused(http: httpx2.Client) -> None:
    assert_refused(post(http, encoded(), authorization=f"Bearer {READER_KEY}"), 403, "scope_missing")


def test_a_key_of_another_site_is_refused(http: httpx2.Client) -> None:
    assert_refused(post(http, encoded(), authorization=f"Bearer {BOUND_KEY}"), 403, "site_not_allowed")


@pytest.mark.parametrize(
    "path", ["/", f"/{CANARY}", "/v1", "/v1/", f"/v1/{CANARY}", "//v1/callbacks", "/v1/callbacks/", "/v1/sites/shop/"]
)
def test_an_unknown_path_is_not_found(http: httpx2.Client, path: str) -> None:
    assert_refused(http.get(path, headers={"origin": ORIGIN}), 404, "not_found")


@pytest.mark.parametrize(
    "callback_id",
    [
        CANARY,
        "01a2079c-bf03-7387-8e96-29518fb19998",
        "01A2079C-BF03-7387-8E96-29518FB19998",
        "01a2079cbf0373878e9629518fb19998",
        "01a2079c-bf03-7387-8e96-29518fb1999٨",
        "%00",
        "%0a%0d",
        "%ff",
        "%ed%a0%80",
        "%2e%2e",
        "a%2fb%2fc",
        "1e999",
        "x" * 3_000,
    ],
)
def test_an_unknown_callback_is_not_found_whatever_its_id_looks_like(http: httpx2.Client, callback_id: str) -> None:
    assert_refused(http.get(f"/v1/callbacks/{callback_id}"), 404, "not_found")


@pytest.mark.parametrize("site", [CANARY, "SHOP", "%00", "%ff", "shop%20", "x" * 3_000])
def test_an_unknown_site_is_not_found(http: httpx2.Client, site: str) -> None:
    assert_refused(http.get(f"/v1/sites/{site}", headers={"origin": ORIGIN}), 404, "unknown_site")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_another_method_of_a_path_is_refused(http: httpx2.Client, method: str) -> None:
    answer = http.request(method, "/v1/callbacks", headers={"origin": ORIGIN})
    assert_refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"


async def test_the_allow_header_has_the_methods_of_all_routers() -> None:
    app, readers, writers = FastAPI(), APIRouter(), APIRouter()
    register_exception_handlers(app)

    @readers.api_route("/things/{name}", methods=["GET", "HEAD"])
    async def read(name: str) -> None: ...

    @writers.delete("/things/{name}")
    async def delete(name: str) -> None: ...

    @writers.put("/things")
    async def put_all() -> None: ...

    app.include_router(readers)
    app.include_router(writers)
    transport = httpx2.ASGITransport(RequestContextMiddleware(app, (), Metrics()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as http:
        answer = await http.post("/things/a")
        assert_refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD, DELETE"
        assert (await http.delete("/things")).headers["allow"] == "PUT"


def test_a_body_over_16_kib_is_too_large(http: httpx2.Client) -> None:
    body = encoded()
    assert_refused(post(http, body + b" " * (16 * 1024 - len(body) + 1)), 413, "too_large")


def test_a_text_of_1_mb_is_too_large_and_is_not_echoed(http: httpx2.Client) -> None:
    assert_refused(post(http, encoded(client_phone=CANARY * 100_000)), 413, "too_large")


def test_a_body_that_grows_over_16_kib_in_chunks_is_too_large(http: httpx2.Client) -> None:
    chunks = (encoded(), *[b" " * 1024] * 16)
    assert_refused(http.post("/v1/callbacks", content=iter(chunks), headers=PAGE), 413, "too_large")


@pytest.mark.parametrize("path", ["/v1/callbacks", "/v1/sites/shop", "/livez", f"/{CANARY}", "/widget.js"])
def test_a_body_declared_too_large_is_refused_before_it_is_sent(here: Service, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: {CANARY}\r\nOrigin: {ORIGIN}\r\nContent-Length: 100000000\r\n\r\n"
    assert_refused(raw(here.url, head.encode()), 413, "too_large")


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        CANARY,
        "text/plain",
        "application/x-www-form-urlencoded",
        f"multipart/form-data; boundary={CANARY}",
        "application/jsonp",
        "application/problem+json",
        "application/vnd.api+json",
        "text/json",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        f"application/json; charset={CANARY}",
        "application/json; charset",
    ],
)
def test_a_body_with_another_content_type_than_json_is_refused(http: httpx2.Client, content_type: str) -> None:
    assert_refused(post(http, encoded(), content_type=content_type), 415, "not_json")


def test_a_body_without_a_content_type_is_refused(http: httpx2.Client) -> None:
    answer = http.post("/v1/callbacks", content=encoded(), headers={"origin": ORIGIN})
    assert_refused(answer, 415, "not_json")


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ({"origin": f"https://{CANARY}.example", "access-control-request-method": "POST"}, "origin"),
        ({"origin": "null", "access-control-request-method": "POST"}, "origin"),
        ({"origin": ORIGIN, "access-control-request-method": "DELETE"}, "method"),
        ({"origin": ORIGIN, "access-control-request-method": CANARY}, "method"),
        (
            {
                "origin": ORIGIN,
                "access-control-request-method": "POST",
                "access-control-request-headers": f"content-type,x-{CANARY}",
            },
            "header",
        ),
    ],
)
def test_a_preflight_is_refused_for_its_origin_method_or_headers(
    http: httpx2.Client, headers: dict[str, str], wrong: str
) -> None:
    answer = http.options("/v1/callbacks", headers=headers)
    assert_refused(answer, 403, "preflight_refused")


def test_an_api_key_in_query_and_body_is_not_echoed(http: httpx2.Client) -> None:
    answer = http.post(f"/v1/callbacks?api_key={CANARY}", content=encoded(api_key=CANARY), headers=PAGE)
    assert_refused(answer, 422, "invalid", {"body": "unknown_field"})


def test_the_title_of_a_status_is_the_same_on_every_python(http: httpx2.Client) -> None:
    assert post(http, encoded() + b" " * 16 * 1024).json()["title"] == "Content Too Large"
    assert post(http, encoded(client_phone="")).json()["title"] == "Unprocessable Content"


def test_the_request_id_of_a_client_is_ignored(http: httpx2.Client) -> None:
    answer = http.get("/livez", headers={"x-request-id": CANARY})
    assert answer.status_code == 200
    assert_protected(answer)
    assert_not_echoed(answer)


@pytest.mark.parametrize(
    "sent",
    [
        f"{CANARY}\r\n\r\n",
        f"GET /livez HTTP/1.1\r\nHost: a\r\n{CANARY}\r\n\r\n",
        f"{CANARY} /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET /{CANARY}\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /v1/callbacks HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n{}",
        "POST /v1/callbacks HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "POST /v1/callbacks HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"POST /v1/callbacks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_bytes_that_are_not_http_get_a_problem_document_and_are_not_echoed(here: Service, sent: str) -> None:
    answer = raw(here.url, sent.encode("latin-1"))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] in ("bad_request", "malformed")
    assert_not_echoed(answer)


def test_a_body_longer_than_declared_is_cut_at_its_declared_length(here: Service) -> None:
    head = f"POST /v1/callbacks HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\nContent-Type: application/json\r\n"
    answer = raw(here.url, f'{head}Content-Length: 8\r\n\r\n{{"longer":"{CANARY}"}}'.encode())
    assert_refused(answer, 400, "malformed")


def test_the_service_still_accepts_requests_after_all_errors(here: Service) -> None:
    assert here.ask(client_phone=phone()).status_code == 202
