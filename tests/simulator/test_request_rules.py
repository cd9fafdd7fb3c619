import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulator.php import http_build_query, parse_str
from app.simulator.request_rules import (
    BadParameterError,
    CallParameters,
    StatisticsParameters,
    read_call,
    read_site_id,
    read_statistics,
    security_key,
    signature_matches,
)
from tests.simulator.support import array

VECTORS = Path(__file__).parents[1] / "chaser" / "signature_vectors.json"
CASES = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_a_request_signed_by_php_is_accepted(case):
    params = parse_str(case["request_body"].encode())
    assert signature_matches(params, case["private_key"])
    assert security_key(params, case["private_key"]) == case["security_key"]
    del params[b"SecurityKey"]
    assert http_build_query(params) == case["signed_query"].encode()


def leaves(table):
    """Yield the array and the key of every value in the parameters."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield table, key


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
@settings(max_examples=25)
@given(data=st.data())
def test_a_request_with_one_byte_of_a_value_changed_is_refused(case, data):
    params = parse_str(case["request_body"].encode())
    table, key = data.draw(st.sampled_from([(t, k) for t, k in leaves(params) if t[k]]))
    value = table[key]
    at = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != value[at]))
    table[key] = value[:at] + bytes([other]) + value[at + 1 :]
    received = parse_str(http_build_query(params))
    assert not signature_matches(received, case["private_key"])


def test_every_byte_of_a_value_is_part_of_the_signature():
    for case in CASES:
        params = parse_str(case["request_body"].encode())
        for table, key in leaves(params):
            value = table[key]
            for at in range(0, len(value), 1 + len(value) // 50):
                table[key] = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
                assert not signature_matches(params, case["private_key"]), (case["note"], key, at)
            table[key] = value


def test_a_wrong_private_key_is_refused():
    params = parse_str(CASES[3]["request_body"].encode())
    assert not signature_matches(params, "another key")


def test_the_order_of_the_parameters_is_part_of_the_signature():
    params = parse_str(CASES[3]["request_body"].encode())
    assert not signature_matches(dict(reversed(params.items())), CASES[3]["private_key"])


def test_a_missing_or_repeated_security_key_is_refused():
    params = parse_str(CASES[3]["request_body"].encode())
    key = params.pop(b"SecurityKey")
    assert not signature_matches(params, CASES[3]["private_key"])
    assert not signature_matches(params | {b"SecurityKey": {0: key}}, CASES[3]["private_key"])


def test_a_client_that_does_not_encode_the_tilde_is_refused():
    """Python's urlencode keeps `~`, but PHP encodes it: the signature over Python's text differs."""
    text = b"site_id=1&active_page=https%3A%2F%2Fh.example%2F~user%2F&client_id=4711"
    wrong = parse_str(text)
    wrong[b"SecurityKey"] = _md5(text + b"&PrivateSecurityKey=s3cr3t-Key")
    assert not signature_matches(wrong, "s3cr3t-Key")


def test_a_name_that_php_mangles_breaks_the_signature():
    text = b"site_id=1&utm.source=x&client_id=4711"
    params = parse_str(text)
    params[b"SecurityKey"] = _md5(text + b"&PrivateSecurityKey=k")
    assert not signature_matches(params, "k")


def _md5(text):
    import hashlib

    return hashlib.md5(text).hexdigest().encode()


def test_all_parameters_of_a_call_are_parsed():
    params = {
        "client_phone": "79161234567",
        "manager_phone": "74951234567",
        "planned_time": "1790000000",
        "active_page": "https://shop.example/",
        "client_ip": "2001:db8::1",
        "nwt_action": "always_call",
        "call_stack_start_hour": "24",
        "call_stack_interval": "0",
        "unknown": "only displayed",
    }
    assert read_call(array(params)) == CallParameters(
        "79161234567", "74951234567", datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC), "always_call", 24, 0
    )


def test_an_empty_optional_parameter_counts_as_absent():
    params = {"client_phone": "79161234567", "manager_phone": "", "planned_time": "", "nwt_action": "", "client_ip": ""}
    assert read_call(array(params)) == CallParameters("79161234567")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_phone", ""),
        ("client_phone", "+79161234567"),
        ("client_phone", "8 916 123-45-67"),
        ("client_phone", "0079161234567"),
        ("client_phone", "123456"),
        ("client_phone", "7916123456789012"),
        ("client_phone", "٧٩١٦١٢٣٤٥٦٧"),
        ("client_phone", ["79161234567"]),
        ("manager_phone", "office"),
        ("planned_time", "soon"),
        ("planned_time", "-1"),
        ("planned_time", "1790000000.5"),
        ("planned_time", "9" * 30),
        ("client_ip", "203.0.113.300"),
        ("client_ip", "203.0.113.7, 198.51.100.1"),
        ("nwt_action", "create_lead"),
        ("nwt_action", "ALWAYS_CALL"),
        ("call_stack_start_hour", "25"),
        ("call_stack_start_hour", "-1"),
        ("call_stack_interval", "61"),
        ("call_stack_interval", "5 min"),
        ("referrer", ["a", "b"]),
    ],
)
def test_an_invalid_parameter_is_named(name, value):
    params = {"client_phone": "79161234567"} | {name: value}
    with pytest.raises(BadParameterError, match=f"^{name}: "):
        read_call(array(params))


@pytest.mark.parametrize("value", ["", "12a", "-1", "1.0", "9" * 20])
def test_a_site_id_that_is_not_a_whole_number_is_refused(value):
    with pytest.raises(BadParameterError, match=r"^site_id: "):
        read_site_id(array({"site_id": value}))


def test_a_site_id_is_compared_as_a_number():
    assert read_site_id(array({"site_id": "0012345"})) == "12345"


def test_the_parameters_of_statistics_are_parsed():
    params = {"date_from": "01-02-2026", "date_to": "28-02-2026", "filter": "failed_calls"}
    expected = StatisticsParameters(date(2026, 2, 1), date(2026, 2, 28), "failed_calls")
    assert read_statistics(array(params)) == expected
    assert read_statistics({}) == StatisticsParameters()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("date_from", "2026-02-01"),
        ("date_from", "1-2-2026"),
        ("date_to", "31-02-2026"),
        ("date_to", "01.02.2026"),
        ("filter", "all"),
    ],
)
def test_an_invalid_parameter_of_statistics_is_named(name, value):
    with pytest.raises(BadParameterError, match=f"^{name}: "):
        read_statistics(array({name: value}))
