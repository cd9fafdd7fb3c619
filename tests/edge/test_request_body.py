"""Request bodies: JSON in UTF-8 only, and their maximum size. For the refusals see tests/routes."""

import json
import time

import pytest
from starlette.exceptions import HTTPException

from app.edge.request_body import MAX_BODY_SIZE, MAX_NESTING, require_json, require_shallow, require_utf8
from app.errors import BadRequestError, UnsupportedMediaTypeError
from tests.running import ORIGIN, Service, phone

PAGE = {"origin": ORIGIN, "content-type": "application/json"}


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        " application/json ",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8",
        "application/json; profile=callback",
        "application/json;",
    ],
)
def test_json_in_utf_8_may_be_declared_in_these_ways(content_type: str) -> None:
    require_json(content_type)


@pytest.mark.parametrize("content_type", [None, "", "json", "*/*", "application/*", "application/json; charset="])
def test_another_content_type_is_refused(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        require_json(content_type)


def test_a_second_charset_is_refused() -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        require_json("application/json; charset=utf-8; charset=utf-16")


EVERY_CHARACTER = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code <= 0xDFFF]


def test_every_character_but_zero_passes_in_utf_8() -> None:
    for start in range(0, len(EVERY_CHARACTER), 4096):
        require_utf8(("{" + "".join(EVERY_CHARACTER[start : start + 4096])).encode())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_nothing_passes_behind_a_byte_order_mark(encoding: str) -> None:
    for character in EVERY_CHARACTER[::101]:
        with pytest.raises(BadRequestError):
            require_utf8(character.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_no_json_in_wider_characters_passes(encoding: str) -> None:
    """All JSON contains ASCII, which has a zero byte in these encodings."""
    for character in EVERY_CHARACTER[::101]:
        with pytest.raises(BadRequestError):
            require_utf8(json.dumps(character, ensure_ascii=False).encode(encoding))


@pytest.mark.parametrize("body", [b"\x80", b"\xc0\x80", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"a\0", b"\0"])
def test_invalid_utf_8_does_not_pass(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        require_utf8(body)


def nested(levels: int) -> bytes:
    return b'{"a":[' * (levels // 2) + b"[" * (levels % 2) + b"]" * (levels % 2) + b"]}" * (levels // 2)


def test_json_is_accepted_down_to_the_deepest_allowed_level() -> None:
    require_shallow(nested(MAX_NESTING))
    for levels in (MAX_NESTING + 1, MAX_NESTING + 2, 5_000):
        with pytest.raises(HTTPException) as refused:
            require_shallow(nested(levels))
        assert refused.value.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([[]] * 5_000),
        json.dumps("[" * 5_000),
        json.dumps('"[' * 3_000),
        json.dumps("\\[" * 3_000),
        json.dumps([{"a[]": "\\"}, "[{"] * 500),
    ],
)
def test_brackets_side_by_side_or_within_strings_are_no_levels(body: str) -> None:
    require_shallow(body.encode())


def test_an_unclosed_string_is_scanned_once() -> None:
    body = b"[" * MAX_NESTING + b'"' + rb"\"" * 8_000 + b"["
    began = time.thread_time()
    require_shallow(body)
    assert time.thread_time() - began < 0.1


def body_of(size: int) -> bytes:
    return json.dumps({"site": "shop", "client_phone": phone()}).encode().ljust(size)


def test_a_body_of_exactly_16_kib_is_accepted(here: Service) -> None:
    answer = here.http.post("/v1/callbacks", content=body_of(MAX_BODY_SIZE), headers=PAGE)
    assert answer.status_code == 202


def test_a_body_of_exactly_16_kib_in_chunks_is_accepted(here: Service) -> None:
    body = body_of(MAX_BODY_SIZE)
    chunks = (body[start : start + 1000] for start in range(0, len(body), 1000))
    assert here.http.post("/v1/callbacks", content=chunks, headers=PAGE).status_code == 202


def test_the_size_is_checked_before_the_type(here: Service) -> None:
    headers = PAGE | {"content-type": "text/plain"}
    assert here.http.post("/v1/callbacks", content=body_of(MAX_BODY_SIZE + 1), headers=headers).status_code == 413
    assert here.http.post("/v1/callbacks", content=body_of(MAX_BODY_SIZE), headers=headers).status_code == 415


def test_the_connection_can_be_used_after_a_body_that_was_too_large(here: Service) -> None:
    for _ in range(3):
        answer = here.http.post("/v1/callbacks", content=body_of(MAX_BODY_SIZE * 2), headers=PAGE)
        assert answer.status_code == 413
        assert here.http.post("/v1/callbacks", content=body_of(100), headers=PAGE).status_code == 202
