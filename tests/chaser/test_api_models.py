"""Parameters of `call` and `statistics`, and their ranges."""

import dataclasses
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chaser import Call, InvalidParameter
from app.chaser.api_models import statistics_parameters

EVERYTHING = {
    "site_id": 12345,
    "client_phone": 79161234567,
    "manager_phone": "74951234567",
    "planned_time": 1790000000,
    "active_page": "https://shop.example/",
    "client_ip": "203.0.113.7",
    "message_on_ring": "Звонок с сайта",
    "nwt_action": "always_call",
    "call_stack_start_hour": 9,
    "call_stack_interval": 5,
    "referrer": "",
}


def rejected(name: str, **changes: Any) -> InvalidParameter:
    with pytest.raises(InvalidParameter) as caught:
        Call(**({"site_id": 1, "client_phone": 79161234567} | changes))
    assert caught.value.parameter == name
    return caught.value


# Call.


def test_the_parameters_of_a_call_come_in_the_documented_order():
    assert Call(**EVERYTHING).parameters() == [
        ("site_id", 12345),
        ("client_phone", "79161234567"),
        ("manager_phone", "74951234567"),
        ("planned_time", 1790000000),
        ("active_page", "https://shop.example/"),
        ("client_ip", "203.0.113.7"),
        ("message_on_ring", "Звонок с сайта"),
        ("nwt_action", "always_call"),
        ("call_stack_start_hour", 9),
        ("call_stack_interval", 5),
        ("referrer", ""),
    ]


@given(st.permutations(list(EVERYTHING)))
def test_the_order_does_not_depend_on_the_order_of_the_arguments(order: list[str]):
    assert Call(**{name: EVERYTHING[name] for name in order}).parameters() == Call(**EVERYTHING).parameters()


def test_omitted_parameters_are_not_sent():
    assert Call(site_id=1, client_phone="79161234567").parameters() == [("site_id", 1), ("client_phone", "79161234567")]


def test_a_phone_has_one_canonical_form():
    assert Call(site_id=1, client_phone=79161234567) == Call(site_id=1, client_phone="79161234567")


def test_a_call_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Call(**EVERYTHING).site_id = 2


def test_a_changed_copy_is_validated_again():
    call = Call(**EVERYTHING)
    assert dataclasses.replace(call, site_id=2).site_id == 2
    with pytest.raises(InvalidParameter):
        dataclasses.replace(call, nwt_action=None)


def test_the_first_wrong_parameter_is_named():
    assert rejected("client_phone", client_phone="1", referrer=5).rule.startswith("must be 7 to 15 digits")


@pytest.mark.parametrize("site_id", [0, -1, 2**63, True, "12345", 1.0, None])
def test_a_site_id_is_a_positive_integer(site_id: Any):
    assert str(rejected("site_id", site_id=site_id)) == "site_id: must be an integer from 1"


@pytest.mark.parametrize("name", ["client_phone", "manager_phone"])
@pytest.mark.parametrize(
    "phone",
    [
        "",
        "+79161234567",
        "7916 123 45 67",
        "089161234567",
        "123456",
        "1234567890123456",
        "７９１６１２３４５６７",  # Full-width digits.
        "79161234567\n",
        True,
        -79161234567,
        79161234567.0,
        10**15,
        b"79161234567",
    ],
)
def test_a_phone_is_7_to_15_digits_with_the_country_code(name: str, phone: Any):
    rejected(name, **{name: phone})


def test_an_integer_too_long_to_convert_to_text_is_rejected_like_any_other():
    rejected("client_phone", client_phone=10**5000)
    rejected("site_id", site_id=10**5000)


def test_the_client_phone_is_required():
    rejected("client_phone", client_phone=None)


@given(st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True))
def test_every_phone_in_the_range_is_accepted_as_text_and_as_an_integer(phone: str):
    for value in (phone, int(phone)):
        call = Call(site_id=1, client_phone=value, manager_phone=value)
        assert (call.client_phone, call.manager_phone) == (phone, phone)


def test_a_planned_time_may_be_a_datetime_in_any_zone():
    moscow = datetime(2026, 9, 21, 17, 13, 20, tzinfo=timezone(timedelta(hours=3)))
    assert Call(site_id=1, client_phone=79161234567, planned_time=moscow).planned_time == 1790000000


WITHOUT_ZONE = datetime(2026, 9, 21, tzinfo=UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    "moment", [0, -1, True, 1790000000.5, "1790000000", 1790000000000, WITHOUT_ZONE, date(2026, 9, 21)]
)
def test_a_planned_time_is_unix_seconds_or_a_datetime_with_a_zone(moment: Any):
    rejected("planned_time", planned_time=moment)


@pytest.mark.parametrize(
    "address", ["", "shop.example", "203.0.113", "203.0.113.7:80", "::1%eth0", "[::1]", 1, b"\0" * 4]
)
def test_a_client_ip_is_an_ip_address(address: Any):
    assert rejected("client_ip", client_ip=address).__context__ is None


@given(st.ip_addresses())
def test_every_ip_address_is_accepted_unchanged(address: Any):
    assert Call(site_id=1, client_phone=79161234567, client_ip=str(address)).client_ip == str(address)


@pytest.mark.parametrize("name", ["active_page", "message_on_ring", "referrer"])
@pytest.mark.parametrize("value", [1, b"x", ["x"], "\ud800", "x\udc00"])
def test_a_text_parameter_is_a_string_that_utf8_can_encode(name: str, value: Any):
    rejected(name, **{name: value})


@pytest.mark.parametrize("action", ["create_lead", "", "ALWAYS_CALL", 1, ["always_call"]])
def test_nwt_action_is_one_of_two_values(action: Any):
    assert "create_leed, always_call" in rejected("nwt_action", nwt_action=action).rule


@pytest.mark.parametrize(("name", "highest"), [("call_stack_start_hour", 24), ("call_stack_interval", 60)])
@given(number=st.integers())
def test_the_call_stack_numbers_must_be_in_their_ranges(name: str, highest: int, number: int):
    parameters = {"nwt_action": "always_call", name: number}
    if 0 <= number <= highest:
        assert (name, number) in Call(site_id=1, client_phone=79161234567, **parameters).parameters()
    else:
        assert str(rejected(name, **parameters)) == f"{name}: must be an integer from 0 to {highest}"


@pytest.mark.parametrize("value", [True, 9.0, "9"])
def test_the_call_stack_numbers_are_integers(value: Any):
    rejected("call_stack_start_hour", nwt_action="always_call", call_stack_start_hour=value)


@pytest.mark.parametrize("action", [None, "create_leed"])
@pytest.mark.parametrize("name", ["call_stack_start_hour", "call_stack_interval"])
def test_the_call_stack_numbers_need_always_call(name: str, action: str | None):
    assert "always_call" in rejected(name, nwt_action=action, **{name: 0}).rule


def error_for(name: str, value: Any) -> str | None:
    try:
        Call(**(EVERYTHING | {name: value}))
    except InvalidParameter as error:
        return str(error)
    return None


@given(st.sampled_from(list(EVERYTHING)), st.text() | st.floats() | st.integers() | st.binary())
def test_the_error_text_does_not_depend_on_the_value(name: str, value: Any):
    also_possible = {"call_stack_start_hour: has a meaning only together with nwt_action always_call"}
    assert error_for(name, value) in {None, error_for(name, object()), *also_possible}


# Statistics.


def test_statistics_parameters_are_in_order_and_dates_are_day_month_year():
    assert statistics_parameters(12345, date(2026, 2, 1), date(2026, 2, 28), "success_calls") == [
        ("site_id", 12345),
        ("date_from", "01-02-2026"),
        ("date_to", "28-02-2026"),
        ("filter", "success_calls"),
    ]


def test_statistics_require_only_the_site():
    assert statistics_parameters(1) == [("site_id", 1)]


@given(st.dates(), st.dates())
def test_a_period_does_not_end_before_it_begins(first: date, last: date):
    if first <= last:
        assert len(statistics_parameters(1, first, last)) == 3
    else:
        with pytest.raises(InvalidParameter, match="must not be later than date_to"):
            statistics_parameters(1, first, last)


@given(st.dates())
def test_every_year_has_four_digits(day: date):
    written = dict(statistics_parameters(1, date_from=day))["date_from"]
    assert [len(part) for part in str(written).split("-")] == [2, 2, 4]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("site_id", {"site_id": "1"}),
        ("site_id", {"site_id": 0}),
        ("date_from", {"date_from": "01-02-2026"}),
        ("date_from", {"date_from": datetime(2026, 2, 1, tzinfo=UTC)}),
        ("date_to", {"date_to": 20260201}),
        ("filter", {"filter": "all"}),
        ("filter", {"filter": ""}),
    ],
)
def test_an_error_of_statistics_parameters_names_the_wrong_one(name: str, arguments: dict[str, Any]):
    with pytest.raises(InvalidParameter) as caught:
        statistics_parameters(**({"site_id": 1} | arguments))
    assert caught.value.parameter == name
