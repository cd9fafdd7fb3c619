"""Signatures, compared with requests signed by PHP and with a decoder that works like PHP's."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chaser.signing import http_build_query, request_body, security_key, signed_query

# The other vectors have parameters that no method of Chaser has: null, booleans, lists and maps. PHP signed them too.
NESTED = {"null is dropped", "true is 1, false is 0", "list", "map"}
VECTORS: list[dict[str, Any]] = [
    case | {"params": list(map(tuple, case["params"]))}
    for case in json.loads((Path(__file__).parent / "signature_vectors.json").read_text())["cases"]
    if case["note"] not in NESTED
]

names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_there_are_25_vectors():
    assert len(VECTORS) == 25


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
