"""Signatures, compared with requests signed by PHP and with a decoder that works like PHP's."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chaser import InvalidParameter
from app.chaser.signing import http_build_query, request_body, security_key, signed_query

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "signature_vectors.json").read_text())["cases"]

names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_there_are_29_vectors():
    assert len(VECTORS) == 29


@pytest.fixture(params=VECTORS, ids=[case["note"][:60] for case in VECTORS])
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def test_the_signed_query_equals_that_of_php(vector: dict[str, Any]):
    assert signed_query(vector["params"], vector["client_id"]) == vector["signed_query"]


def test_the_security_key_equals_that_of_php(vector: dict[str, Any]):
    assert security_key(vector["signed_query"], vector["private_key"]) == vector["security_key"]


def test_the_request_body_equals_that_of_php(vector: dict[str, Any]):
    body = request_body(vector["params"], vector["client_id"], vector["private_key"])
    assert body == vector["request_body"].encode("ascii")


def decoded(body: bytes) -> list[tuple[str, str]]:
    """Decode like PHP's urldecode: `+` is a space, `%XX` a byte."""

    def value(part: bytes) -> str:
        return re.sub(rb"%(..)", lambda match: bytes.fromhex(match[1].decode()), part.replace(b"+", b" ")).decode()

    pairs = [pair.split(b"=") for pair in body.split(b"&")]
    return [(value(name), value(text)) for name, text in pairs]


@given(st.lists(st.tuples(names, texts)), texts, texts)
def test_decoding_a_signed_request_returns_its_values_and_their_signature(
    parameters: list[tuple[str, str]], client_id: str, private_key: str
):
    body = request_body(parameters, client_id, private_key)
    *values, (last_name, signature) = decoded(body)
    assert values == [*parameters, ("client_id", client_id)]
    assert last_name == "SecurityKey"
    signed = body.rpartition(b"&SecurityKey=")[0] + b"&PrivateSecurityKey=" + private_key.encode()
    assert signature == hashlib.md5(signed, usedforsecurity=False).hexdigest()


@given(st.lists(st.tuples(names, texts)))
def test_an_encoded_query_contains_only_safe_ascii(parameters: list[tuple[str, str]]):
    assert re.fullmatch(r"[A-Za-z0-9_.+%&=-]*", http_build_query(parameters))


@given(texts)
def test_a_value_cannot_become_a_parameter(smuggled: str):
    body = request_body([("referrer", f"&client_id=1&SecurityKey=0&PrivateSecurityKey={smuggled}&")], "4711", "key")
    assert [name for name, _ in decoded(body)] == ["referrer", "client_id", "SecurityKey"]


def test_nulls_inside_lists_and_mappings_are_dropped_too():
    assert http_build_query([("a", [None, "x"]), ("b", {"c": None, "d": False}), ("e", [])]) == "a%5B1%5D=x&b%5Bd%5D=0"


def test_lists_and_mappings_can_be_nested():
    assert http_build_query([("a", {"b": ["x", {"~": 1}]})]) == "a%5Bb%5D%5B0%5D=x&a%5Bb%5D%5B1%5D%5B%7E%5D=1"


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", ["\ud800"], {"\ud800": 1}])
def test_the_error_of_text_that_utf8_cannot_encode_contains_the_name_and_not_the_value(value: Any):
    with pytest.raises(InvalidParameter, match=r"^active_page: must be text that UTF-8 can encode") as caught:
        request_body([("active_page", value)], "4711", "key")
    assert caught.value.parameter == "active_page"
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_name_that_utf8_cannot_encode_is_rejected():
    with pytest.raises(InvalidParameter):
        http_build_query([("\ud800", 1)])


def test_a_private_key_that_utf8_cannot_encode_is_rejected():
    with pytest.raises(InvalidParameter, match=r"^private_key: "):
        security_key("client_id=1", "\ud800")


@pytest.mark.parametrize("value", [1.5, b"x", object(), {1}])
def test_a_value_of_an_unsupported_type_is_rejected(value: Any):
    with pytest.raises(InvalidParameter, match=f"not {type(value).__name__}$"):
        signed_query([("planned_time", value)], "4711")


@pytest.mark.parametrize("name", ["client_id", "SecurityKey", "PrivateSecurityKey"])
def test_a_parameter_may_not_be_named_like_a_part_of_the_signature(name: str):
    with pytest.raises(InvalidParameter, match=f"^{name}: "):
        signed_query([(name, "x")], "4711")
