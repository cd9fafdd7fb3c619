"""Schema of the request body. Over HTTP: tests/routes/test_invalid.py."""

import contextlib
import json
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.intake.callback_request import PRIVILEGED, CallbackRequest

SECRET = "zq-not-to-be-shown"


def parse(**fields: Any) -> CallbackRequest:
    return CallbackRequest.model_validate({"site": "shop", "client_phone": "89161234567"} | fields)


def error_locations(**fields: Any) -> list[tuple[Any, ...]]:
    with pytest.raises(ValidationError) as refused:
        parse(**fields)
    return [error["loc"] for error in refused.value.errors()]


def test_only_the_site_and_the_phone_are_needed() -> None:
    request = parse()
    assert request.model_dump(exclude_none=True) == {"site": "shop", "client_phone": "89161234567"}


@pytest.mark.parametrize(("value", "phone"), [(79161234567, "79161234567"), ("+7 916", "+7 916"), (-1, "-1")])
def test_a_phone_is_text_or_a_whole_number(value: object, phone: str) -> None:
    assert parse(client_phone=value).client_phone == phone


@pytest.mark.parametrize("value", [True, 7.9e10, None, ["7"], {"7": 1}])
def test_a_phone_of_another_type_is_refused(value: object) -> None:
    assert error_locations(client_phone=value) == [("client_phone",)]


@pytest.mark.parametrize(
    "planned",
    ["2026-03-02T10:00:00+03:00", "2026-03-02T07:00:00Z", "2026-03-02 07:00Z", 1772434800, "1772434800", 1772434800.0],
)
def test_a_planned_time_has_its_zone_or_is_in_unix_seconds(planned: object) -> None:
    assert parse(planned_time=planned).planned_time == datetime(2026, 3, 2, 7, tzinfo=UTC)


@pytest.mark.parametrize("planned", ["2026-03-02T10:00:00", "2026-03-02", "10:00", "tomorrow", True, [], 1e300])
def test_a_planned_time_without_a_zone_is_refused(planned: object) -> None:
    assert error_locations(planned_time=planned) == [("planned_time",)]


@pytest.mark.parametrize(
    ("text", "address"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8::0001", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1")],
)
def test_an_address_is_normalised(text: str, address: str) -> None:
    assert parse(client_ip=text).client_ip == ip_address(address)


@pytest.mark.parametrize("value", [1, True, 1.5, "1", "fe80::1%eth0", "192.0.2.0/24", "192.0.2.1:80", "", b"abcd", []])
def test_any_other_value_is_refused_as_an_address(value: object) -> None:
    assert error_locations(client_ip=value) == [("client_ip",)]


@pytest.mark.parametrize("value", ["+74951234567", "74951234567", 74951234567, "1234567", "123456789012345"])
def test_a_managers_number_has_7_to_15_digits_with_the_country_code(value: object) -> None:
    assert str(parse(manager_phone=value).manager_phone).lstrip("+").isdigit()


@pytest.mark.parametrize("text", ["", "a", "Из CRM: «срочно»", "x" * 500])
def test_a_message_for_the_manager_is_any_printable_text(text: str) -> None:
    assert parse(message_on_ring=text).message_on_ring == text


@pytest.mark.parametrize("text", ["\n", "a\r\nb", "\x1b[31m", "\x7f", "\0", "x" * 501])
def test_control_characters_and_long_texts_are_refused_in_a_message(text: str) -> None:
    assert error_locations(message_on_ring=text) == [("message_on_ring",)]


def test_a_consent_is_a_boolean_or_a_receipt() -> None:
    assert parse(consent=True).consent is True
    assert parse(consent=False).consent is False
    receipt = parse(consent={"accepted": True, "version": "1", "text": "Да"}).consent
    assert not isinstance(receipt, bool)
    assert receipt is not None
    assert (receipt.accepted, receipt.version, receipt.text) == (True, "1", "Да")


def test_the_text_beside_the_checkbox_may_have_several_lines() -> None:
    """A page's `innerText` has line breaks, and the receipt stores the text as the visitor read it."""
    text = "I consent.\r\n\tRead the document.\n"
    receipt = parse(consent={"accepted": True, "text": text}).consent
    assert not isinstance(receipt, bool)
    assert receipt is not None
    assert receipt.text == text


@pytest.mark.parametrize("text", ["\0", "\x1b[31m", "\x0b", "\x7f"])
def test_other_control_characters_are_refused_in_a_consent(text: str) -> None:
    assert error_locations(consent={"accepted": True, "text": text})[0][0] == "consent"


def test_privileged_fields_exist_and_are_listed_once() -> None:
    assert set(PRIVILEGED) < set(CallbackRequest.model_fields)
    assert len(set(PRIVILEGED)) == len(PRIVILEGED)


@pytest.mark.parametrize("field", CallbackRequest.model_fields)
def test_the_text_of_an_error_does_not_contain_the_value(field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        parse(**{field: {SECRET: SECRET}})
    if (
        field != "consent"
    ):  # there the location contains the name of an unknown field; routes/exception_handlers.py drops it
        assert SECRET not in str(refused.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*CallbackRequest.model_fields, "other"]), _JSON, max_size=6))
def test_any_json_is_parsed_or_refused_and_a_parsed_request_can_be_serialised(body: dict[str, Any]) -> None:
    """`json.loads`, which FastAPI uses, accepts lone surrogates, NaN and infinities."""
    with contextlib.suppress(ValidationError):
        request = CallbackRequest.model_validate(json.loads(json.dumps(body)))
        assert json.dumps(request.model_dump(mode="json"))
