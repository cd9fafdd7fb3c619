"""Parsing of the responses of `websites` and `statistics`."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chaser import Website
from app.chaser.api_models import read_objects, read_websites


def test_a_website_keeps_undocumented_fields():
    body = '[{"id":"12345","name":"пример.рф","title":null,"phones":["7916"],"on":true}]'.encode()
    assert read_websites(body) == [Website(12345, "пример.рф", "", {"phones": ["7916"], "on": True})]


def test_websites_can_be_collected_in_a_set():
    assert len(set(read_websites(b'[{"id":1,"a":[]},{"id":1,"a":[]}]'))) == 1


def test_a_byte_order_mark_does_no_harm():
    assert read_objects(b"\xef\xbb\xbf[{}]") == [{}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'{"a":1}',
        b"[1]",
        b"[[]]",
        b"[{]",
        b"\xff",
        b'[{"a":NaN}]',
        b'[{"a":-Infinity}]',
        b'[{"a":1e999}]',
        b'[{"a":"\\ud800"}]',
        b'[{"\\uDFFF":1}]',
        b"[" * 100_000,
        b'[{"a":' + b"[" * 300 + b"]" * 300 + b"}]",
        b'[{"a":' + b'{"b":' * 5_000 + b"1" + b"}" * 5_000 + b"}]",
        b'[{"a":' + b"9" * 5000 + b"}]",
    ],
)
def test_a_body_that_is_no_list_of_objects_or_cannot_be_serialized_again_is_rejected(body: bytes):
    with pytest.raises(ValueError, match=r"^the body is not a JSON list of objects$") as caught:
        read_objects(body)
    assert caught.value.__context__ is None


def test_a_hundred_levels_are_parsed():
    value = "[" * 98 + "]" * 98
    assert read_objects(f'[{{"a":{value},"b":{value}}}]'.encode()) == [dict.fromkeys("ab", json.loads(value))]


def test_a_complete_surrogate_pair_is_a_character():
    assert read_objects(b'[{"a":"\\ud83d\\udcde"}]') == [{"a": "📞"}]


@pytest.mark.parametrize("number", ["true", '""', '"x"', "0", "-1", "1.5", "null", '"01"', "[1]", '"٣"'])
def test_a_website_needs_an_id_that_is_a_positive_integer(number: str):
    with pytest.raises(ValueError, match="no id that is a positive integer"):
        read_websites(f'[{{"id":{number},"name":"a"}}]'.encode())


@given(st.binary())
def test_bytes_that_are_not_json_are_rejected(body: bytes):
    with pytest.raises(ValueError, match=r"^the body is not a JSON list of objects$"):
        read_websites(body + b"x")
