"""422: every invalid value is reported with its field and a stable code, and is never echoed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from app.intake.callback_request import CallbackRequest
from tests.routes.refusal import CANARY, CANARY_HEADERS, assert_refused
from tests.running import AUTHORIZED, ORIGIN, Service, client, phone

LONE_SURROGATE = r'"\ud800"'
HUGE = "9" * 4_000
LONG = json.dumps(CANARY * 200)
NOT_A_STRING = ("1", "1.5", "NaN", "1e999", "-Infinity", HUGE, "true", "[]", "{}", f'["{CANARY}"]', f'{{"{CANARY}":1}}')
NOT_A_PHONE = tuple(
    value for value in NOT_A_STRING if value not in ("1", HUGE)
)  # services may send phones as JSON numbers
NOT_STRINGS: dict[str, tuple[str, ...]] = {
    "site": (*NOT_A_STRING, "null"),
    "client_phone": (*NOT_A_PHONE, "null"),
    "active_page": NOT_A_STRING,
    "referrer": NOT_A_STRING,
    "department": NOT_A_STRING,
    "challenge": NOT_A_STRING,
    "request_id": NOT_A_STRING,
    "manager_phone": NOT_A_PHONE,
    "message_on_ring": NOT_A_STRING,
}
INVALID: list[tuple[str, str, str]] = [
    *[(field, value, "string_type") for field, values in NOT_STRINGS.items() for value in values],
    *[(field, LONE_SURROGATE, "not_unicode") for field in ("site", "department", "challenge", "request_id")],
    *[(field, LONE_SURROGATE, "not_unicode") for field in ("manager_phone", "message_on_ring")],
    ("site", f'"{CANARY}"', "unknown_site"),
    ("site", '""', "unknown_site"),
    ("site", '"SHOP"', "unknown_site"),
    ("site", LONG, "too_long"),
    ("client_phone", LONE_SURROGATE, "phone_malformed"),
    ("client_phone", LONG, "too_long"),
    ("client_phone", HUGE, "too_long"),
    ("client_phone", f'"{CANARY}"', "phone_letters"),
    ("client_phone", '""', "phone_malformed"),
    ("client_phone", '"8 800 555 35 35"', "phone_toll_free"),
    ("client_phone", '"+7 701 123 45 67"', "phone_region"),
    ("client_phone", '"112"', "phone_short_number"),
    ("planned_time", f'"{CANARY}"', "datetime_from_date_parsing"),
    ("planned_time", '""', "datetime_from_date_parsing"),
    ("planned_time", LONE_SURROGATE, "not_unicode"),
    ("planned_time", "true", "datetime_type"),
    ("planned_time", "NaN", "datetime_parsing"),
    ("planned_time", "1e999", "datetime_parsing"),
    ("planned_time", "-1e999", "datetime_parsing"),
    ("planned_time", "1e300", "datetime_parsing"),
    ("planned_time", HUGE, "datetime_type"),
    ("planned_time", "[]", "datetime_type"),
    ("planned_time", '"2030-01-01T00:00:00"', "timezone_missing"),
    ("planned_time", '"2030-02-30T00:00:00Z"', "datetime_from_date_parsing"),
    ("planned_time", '"2001-01-01T00:00:00Z"', "planned_time_past"),
    ("planned_time", "0", "planned_time_past"),
    ("planned_time", "-1e11", "planned_time_past"),
    ("planned_time", '"0001-01-01T00:00:00+14:00"', "planned_time_past"),
    ("planned_time", '"9999-12-31T23:59:59-14:00"', "planned_time_too_far"),
    ("department", f'"{CANARY}"', "unknown_department"),
    ("department", '""', "unknown_department"),
    ("department", LONG, "too_long"),
    ("challenge", json.dumps(CANARY * 500), "too_long"),
    ("request_id", '""', "invalid_format"),
    ("request_id", f'"{CANARY} {CANARY}"', "invalid_format"),
    ("request_id", f'"{CANARY}\\n"', "invalid_format"),
    ("request_id", '"ключ"', "invalid_format"),
    ("request_id", LONG, "invalid_format"),
    ("consent", f'"{CANARY}"', "bool_parsing"),
    ("consent", "NaN", "bool_type"),
    ("consent", HUGE, "bool_type"),
    ("consent", "[]", "bool_type"),
    ("consent", "{}", "required"),
    ("consent", f'{{"accepted":"{CANARY}"}}', "bool_parsing"),
    ("consent", f'{{"accepted":true,"{CANARY}":1}}', "unknown_field"),
    ("consent", '{"accepted":true,"version":1}', "string_type"),
    ("consent", f'{{"accepted":true,"version":{LONG}}}', "too_long"),
    ("consent", f'{{"accepted":true,"version":"{CANARY}\\u0000"}}', "invalid_format"),
    ("consent", f'{{"accepted":true,"text":{LONE_SURROGATE}}}', "not_unicode"),
    ("consent", f'{{"accepted":true,"text":{LONG}}}', "too_long"),
    *[
        ("client_ip", value, "not_an_address")
        for value in (
            *("1", "true", "NaN", "1e999", HUGE, "[]", "{}", '""', '"1"', '"1.2.3"', '"1.2.3.4 "', '"1.2.3.4:80"'),
            *('"[::1]"', '"fe80::1%eth0"', '"10.0.0.0/8"', '"localhost"', f'"{CANARY}"', LONE_SURROGATE, LONG),
        )
    ],
    *[
        ("manager_phone", value, "invalid_format")
        for value in (
            *(f'"{CANARY}"', '""', '"+7 495 123-45-67"', '"84951234567890123"', '"123456"', '"0495123456"', "0", HUGE),
            *('"+"', '"++74951234567"', '"74951234567\\n"', '"٧٤٩٥١٢٣٤٥٦٧"', LONG),
        )
    ],
    ("message_on_ring", json.dumps(CANARY * 100), "too_long"),
    ("message_on_ring", f'"{CANARY}\\n{CANARY}"', "invalid_format"),
    ("message_on_ring", '"\\u0000"', "invalid_format"),
    ("nwt_action", f'"{CANARY}"', "literal_error"),
    ("nwt_action", '"create_lead"', "literal_error"),
    ("nwt_action", '""', "literal_error"),
    ("nwt_action", "NaN", "literal_error"),
    ("nwt_action", LONE_SURROGATE, "not_unicode"),
    *[
        (field, value, code)
        for field in ("call_stack_start_hour", "call_stack_interval")
        for value, code in (
            ("-1", "greater_than_equal"),
            ("61", "less_than_equal"),
            (HUGE, "less_than_equal"),
            ("1.5", "int_from_float"),
            ("NaN", "finite_number"),
            ("1e999", "finite_number"),
            (f'"{CANARY}"', "int_parsing"),
            (LONE_SURROGATE, "not_unicode"),
            ("[]", "int_type"),
            ("1", "needs_always_call"),
        )
    ],
    ("call_stack_start_hour", "25", "less_than_equal"),
]


@pytest.fixture(scope="module")
def http(here: Service) -> Iterator[httpx2.Client]:
    with client(here.url) as plain:
        plain.headers.update(CANARY_HEADERS)
        yield plain


def post(http: httpx2.Client, body: str, headers: dict[str, str]) -> httpx2.Response:
    return http.post("/v1/callbacks", content=body, headers={"content-type": "application/json"} | headers)


@pytest.mark.parametrize(("field", "value", "code"), INVALID, ids=lambda text: text[:30])
def test_an_invalid_value_is_reported_by_its_field(http: httpx2.Client, field: str, value: str, code: str) -> None:
    others = {"site": '"shop"', "client_phone": f'"{phone()}"'} | {field: value}
    body = "{" + ",".join(f'"{name}":{text}' for name, text in others.items()) + "}"
    answer = post(http, body, {"origin": ORIGIN} | AUTHORIZED)
    assert_refused(answer, 422, "invalid", {field: code})


@pytest.mark.parametrize("name", [CANARY, "", "phone", "client-phone", "__class__", "account", "created_at", "id"])
def test_an_unknown_field_is_refused_without_echoing_its_name(http: httpx2.Client, name: str) -> None:
    body = json.dumps({"site": "shop", "client_phone": phone(), name: CANARY, f"{CANARY}2": 1})
    answer = post(http, body, {"origin": ORIGIN})
    assert_refused(answer, 422, "invalid", {"body": "unknown_field"})


@pytest.mark.parametrize("field", ["site", "client_phone"])
def test_a_missing_required_field_is_reported(http: httpx2.Client, field: str) -> None:
    body: dict[str, Any] = {"site": "shop", "client_phone": phone()}
    del body[field]
    assert_refused(post(http, json.dumps(body), {"origin": ORIGIN}), 422, "invalid", {field: "required"})


def test_all_invalid_values_are_reported_at_once(http: httpx2.Client) -> None:
    body = {"site": 1, "client_phone": [], "consent": {"accepted": "?"}, "request_id": "a b", CANARY: 1}
    wrong = {
        "site": "string_type",
        "client_phone": "string_type",
        "consent": "bool_parsing",
        "request_id": "invalid_format",
        "body": "unknown_field",
    }
    assert_refused(post(http, json.dumps(body), {"origin": ORIGIN}), 422, "invalid", wrong)


def test_all_values_that_the_site_forbids_are_reported_at_once(http: httpx2.Client) -> None:
    body = {"site": "consent", "client_phone": "112", "planned_time": 0, "department": "none", "client_ip": "192.0.2.1"}
    wrong = {
        "client_phone": "phone_short_number",
        "planned_time": "planned_time_past",
        "department": "unknown_department",
        "client_ip": "needs_api_key",
        "consent": "consent_required",
    }
    assert_refused(post(http, json.dumps(body), {"origin": ORIGIN}), 422, "invalid", wrong)


@pytest.mark.parametrize("key", ["", '"', '""', '"""', "a b", '"a', 'a"', "x" * 129, f"{CANARY} {CANARY}"])
def test_an_idempotency_key_has_1_to_128_characters(http: httpx2.Client, key: str) -> None:
    body = json.dumps({"site": "shop", "client_phone": phone()})
    answer = post(http, body, {"origin": ORIGIN, "idempotency-key": key})
    assert_refused(answer, 422, "invalid", {"Idempotency-Key": "invalid_format"})


@pytest.mark.parametrize(
    "field", [name for name in CallbackRequest.model_fields if name not in ("site", "client_phone")]
)
@pytest.mark.parametrize("headers", [{"origin": ORIGIN}, AUTHORIZED], ids=["visitor", "service"])
def test_null_is_the_same_as_an_absent_field(here: Service, field: str, headers: dict[str, str]) -> None:
    assert here.ask(headers, client_phone=phone(), **{field: None}).status_code == 202


def test_the_last_of_two_values_of_a_field_counts(
    http: httpx2.Client, stored: Callable[[httpx2.Response], dict[str, Any]]
) -> None:
    number = phone()
    body = f'{{"site":"shop","client_phone":"{CANARY}","client_phone":"{number}"}}'
    answer = post(http, body, {"origin": ORIGIN})
    assert stored(answer)["client_phone"] == number
