"""Any input is accepted or refused with a problem document: no client can cause an internal error."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.intake.callback_request import CallbackRequest
from tests.running import AUTHORIZED, ORIGIN, Chaser, Service, process, values

GOOD = {"site": "shop", "client_phone": "89161234567"}
PAGE = {"origin": ORIGIN, "content-type": "application/json"}
ANY_TEXT = st.text(st.characters(codec=None), max_size=30)
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)
LIKELY_VALUE = st.sampled_from(
    [None, True, 0, 24, "always_call", "create_leed", "192.0.2.1", "+74951234567", "2030-01-01T00:00:00Z", ORIGIN]
)
FIELD = st.sampled_from(sorted(CallbackRequest.model_fields)) | ANY_TEXT
HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, far_side: Chaser) -> Iterator[Service]:
    """The service as a process of its own: Hypothesis does not allow other users of `random` in its process."""
    folder = tmp_path_factory.mktemp("anything")
    with process(folder, values(folder, far_side.api_url)) as running:
        yield running


def assert_answered(answer: httpx2.Response) -> None:
    assert answer.status_code == 202 or 400 <= answer.status_code < 500, answer.text
    if answer.status_code != 202:
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert body["status"] == answer.status_code
        assert body["request_id"] == answer.headers["x-request-id"]


def post(here: Service, content: bytes, headers: dict[str, Any]) -> httpx2.Response:
    raw = [(name, value.encode("latin-1")) for name, value in headers.items()]
    return here.http.post("/v1/callbacks", content=content, headers=raw)


@settings(max_examples=150)
@given(st.dictionaries(FIELD, LIKELY_VALUE | ANY_VALUE, max_size=5), st.booleans())
def test_any_json_object_is_accepted_or_refused(here: Service, fields: dict[str, Any], authorized: bool) -> None:
    headers = PAGE | (AUTHORIZED if authorized else {})
    assert_answered(post(here, json.dumps(GOOD | fields).encode(), headers))


@settings(max_examples=100)
@given(st.binary(max_size=5), st.integers(0, 50), st.integers(0, 50))
def test_any_bytes_are_accepted_or_refused(here: Service, noise: bytes, start: int, end: int) -> None:
    body = json.dumps(GOOD).encode()
    assert_answered(post(here, body[:start] + noise + body[end:], PAGE))


@settings(max_examples=100)
@given(
    st.sampled_from(
        ["origin", "referer", "authorization", "content-type", "idempotency-key", "x-forwarded-for", "cookie", "host"]
    ),
    HEADER_TEXT.map(str.strip),
)
def test_any_header_is_accepted_or_refused(here: Service, name: str, text: str) -> None:
    assert_answered(post(here, json.dumps(GOOD).encode(), PAGE | {name: text}))


@settings(max_examples=100)
@given(st.sampled_from(["/v1/callbacks/", "/v1/sites/", "/v1/", "/widget/", "/widget/x/", "/"]), st.binary(max_size=20))
def test_any_path_is_found_or_refused(here: Service, prefix: str, rest: bytes) -> None:
    answer = here.http.get(prefix + "".join(f"%{byte:02x}" for byte in rest))
    assert answer.status_code in (200, 404, 405)  # 405: with a slash in it, it may be the path of a POST
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
