"""Building a callback from a request, without HTTP: settings of the site, consent receipt, fingerprint, id."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.errors import UnprocessableContentError
from app.intake.build_callback import Sender, build_callback, fingerprint, new_id
from app.intake.callback_request import CallbackRequest
from app.outbox.callback import Callback
from app.settings import Settings
from tests.running import ORIGIN, settings

NOW = datetime(2026, 3, 2, 7, tzinfo=UTC)  # a Monday, 10:00 in Moscow
NIGHT = datetime(2026, 3, 2, 20, tzinfo=UTC)
PHONE = "89161234567"
VISITOR = Sender(client_ip="192.0.2.1", buckets=("192.0.2.1",), origin=ORIGIN, referer=None, api_key=None)
CRM = Sender(client_ip="192.0.2.9", buckets=("192.0.2.9",), origin=None, referer=None, api_key="crm")
SITES: dict[str, Any] = {
    "agency": {"client_id": "77", "private_key": "s3cr3t-of-77", "site_id": 7, "origins": [ORIGIN]},
    "night": {
        "site_id": 1,
        "origins": [ORIGIN],
        "working_hours": {"mon-fri": "09:00-18:00"},
        "nwt_action": "always_call",
        "call_stack_start_hour": 10,
    },
    "consent": {"site_id": 1, "origins": [ORIGIN], "consent": {"url": "https://shop.example/p", "version": "2"}},
    "kz": {"site_id": 1, "origins": [ORIGIN], "regions": ["KZ"]},
    "unknown": {"site_id": 1, "origins": [ORIGIN]},
}


@pytest.fixture(scope="module")
def chosen() -> Settings:
    return settings(Path("unused"), sites=SITES, give_up_after="2h")


def accepted(
    chosen: Settings, sender: Sender = VISITOR, *, now: datetime = NOW, site: str = "shop", **fields: Any
) -> Callback:
    request = CallbackRequest.model_validate({"site": site, "client_phone": PHONE} | fields)
    return build_callback(request, sender, chosen, now, origin_allowed=lambda origin: origin == ORIGIN)


def refusals(chosen: Settings, sender: Sender = VISITOR, **fields: Any) -> dict[str, str]:
    with pytest.raises(UnprocessableContentError) as refused:
        accepted(chosen, sender, **fields)
    return {error.field: error.code for error in refused.value.errors}


def test_a_callback_is_complete_and_due_now(chosen: Settings) -> None:
    callback = accepted(chosen)
    assert (callback.client_phone, callback.phone_certain) == ("79161234567", True)
    assert (callback.account, callback.chaser_site_id) == ("4711", 12345)
    assert callback.created_at == callback.due_at == callback.call_expected_at == NOW
    assert callback.give_up_at == NOW + timedelta(hours=2)
    assert (callback.client_ip, callback.client_bucket, callback.api_key) == ("192.0.2.1", "192.0.2.1", None)


def test_a_visitor_is_counted_in_all_networks_of_their_address_and_a_service_in_none(chosen: Settings) -> None:
    networks = ("2001:db8::/64", "2001:db8::/56", "2001:db8::/48")
    callback = accepted(chosen, replace(VISITOR, buckets=networks))
    assert (callback.client_bucket, callback.client_bucket_56, callback.client_bucket_48) == networks
    callback = accepted(chosen)
    assert (callback.client_bucket, callback.client_bucket_56, callback.client_bucket_48) == ("192.0.2.1", None, None)
    callback = accepted(chosen, replace(CRM, buckets=networks))
    assert (callback.client_bucket, callback.client_bucket_56, callback.client_bucket_48) == (None, None, None)


def test_a_callback_can_not_be_changed(chosen: Settings) -> None:
    with pytest.raises(AttributeError):
        accepted(chosen).client_phone = "1"  # type: ignore[misc]


def test_a_site_of_another_account_goes_to_that_account(chosen: Settings) -> None:
    callback = accepted(chosen, site="agency")
    assert (callback.account, callback.chaser_site_id) == ("77", 7)


def test_the_number_is_parsed_by_the_regions_of_the_site(chosen: Settings) -> None:
    assert accepted(chosen, site="kz", client_phone="8 701 123 45 67").client_phone == "77011234567"
    assert refusals(chosen, site="kz") == {"client_phone": "phone_region"}


def test_a_number_outside_the_known_ranges_is_accepted_and_marked(chosen: Settings) -> None:
    callback = accepted(chosen, client_phone="+7 200 123-45-67")
    assert (callback.client_phone, callback.phone_certain) == ("72001234567", False)


def test_a_planned_call_is_due_now_and_expires_after_its_planned_time(chosen: Settings) -> None:
    planned = NOW + timedelta(days=3)
    callback = accepted(chosen, planned_time=planned)
    assert callback.due_at == NOW  # Chaser receives the planned time and calls then
    assert callback.planned_time == callback.call_expected_at == callback.rings_at == callback.rings_until == planned
    assert callback.give_up_at == planned + timedelta(hours=2)


def test_a_call_requested_at_night_is_expected_in_the_morning(chosen: Settings) -> None:
    assert accepted(chosen, site="night", now=NIGHT).call_expected_at == datetime(2026, 3, 3, 7, tzinfo=UTC)
    later = accepted(chosen, CRM, site="night", now=NIGHT, call_stack_start_hour=12)
    assert later.call_expected_at == datetime(2026, 3, 3, 9, tzinfo=UTC)
    lead = accepted(chosen, CRM, site="night", now=NIGHT, nwt_action="create_leed")
    assert lead.call_expected_at is None
    assert (lead.rings_at, lead.rings_until) == (NIGHT, NIGHT)


def test_a_callback_has_the_times_at_which_it_may_ring(chosen: Settings) -> None:
    closing = datetime(2026, 3, 3, 15, tzinfo=UTC)
    spread = accepted(chosen, CRM, site="night", now=NIGHT, call_stack_interval=5)
    assert (spread.call_expected_at, spread.rings_at, spread.rings_until) == (
        datetime(2026, 3, 3, 7, tzinfo=UTC),
        datetime(2026, 3, 3, 7, tzinfo=UTC),
        closing,
    )
    unknown = accepted(chosen, site="unknown", planned_time=NIGHT)
    assert (unknown.call_expected_at, unknown.rings_at) == (None, NIGHT)
    assert unknown.rings_until == NIGHT + timedelta(days=1)


def test_the_bounds_of_planned_times_are_exact(chosen: Settings) -> None:
    assert refusals(chosen, planned_time=NOW) == {"planned_time": "planned_time_past"}
    assert accepted(chosen, planned_time=NOW + timedelta(seconds=1)).planned_time
    for sender, days in ((VISITOR, 7), (CRM, 14)):
        furthest = NOW + timedelta(days=days)
        assert accepted(chosen, sender, planned_time=furthest).planned_time == furthest
        too_far = furthest + timedelta(seconds=1)
        assert refusals(chosen, sender, planned_time=too_far) == {"planned_time": "planned_time_too_far"}


def test_a_visitor_can_not_plan_a_call_for_the_night_but_a_service_can(chosen: Settings) -> None:
    assert refusals(chosen, site="night", planned_time=NIGHT) == {"planned_time": "planned_time_closed"}
    # With always_call Chaser queues it for the next morning; otherwise its behaviour is undocumented.
    queued = accepted(chosen, CRM, site="night", planned_time=NIGHT)
    assert (queued.planned_time, queued.call_expected_at) == (NIGHT, datetime(2026, 3, 3, 7, tzinfo=UTC))
    lead = accepted(chosen, CRM, site="night", planned_time=NIGHT, nwt_action="create_leed")
    assert (lead.planned_time, lead.call_expected_at) == (NIGHT, None)


def test_calls_after_hours_need_known_working_hours(chosen: Settings) -> None:
    asked = {"site": "unknown", "nwt_action": "always_call"}
    assert refusals(chosen, CRM, **asked) == {"nwt_action": "needs_working_hours"}
    assert refusals(chosen, CRM, call_stack_interval=5, **asked) == {"nwt_action": "needs_working_hours"}
    assert accepted(chosen, CRM, site="unknown", nwt_action="create_leed").nwt_action == "create_leed"


def test_all_errors_are_reported_at_once(chosen: Settings) -> None:
    invalid = {
        "client_phone": "112",
        "planned_time": NOW,
        "department": "none",
        "manager_phone": "74951234567",
        "call_stack_interval": 5,
    }
    assert refusals(chosen, site="consent", **invalid) == {
        "client_phone": "phone_short_number",
        "planned_time": "planned_time_past",
        "department": "unknown_department",
        "manager_phone": "needs_api_key",
        "call_stack_interval": "needs_always_call",
        "consent": "consent_required",
    }


def test_a_consent_receipt_has_the_time_in_utc_and_the_visitors_address(chosen: Settings) -> None:
    local = NOW.astimezone(tz=None)
    consent = {"accepted": True, "version": "2"}
    receipt = accepted(chosen, site="consent", consent=consent, now=local).consent
    assert receipt == {
        "version": "2",
        "url": "https://shop.example/p",
        "text": None,
        "at": "2026-03-02T07:00:00+00:00",
        "client_ip": "192.0.2.1",
    }


def request(**fields: Any) -> CallbackRequest:
    return CallbackRequest.model_validate({"site": "shop", "client_phone": PHONE} | fields)


def test_equal_requests_have_equal_fingerprints() -> None:
    first = fingerprint(request(request_id="a", challenge="b"), b"key")
    assert first == fingerprint(request(client_phone=int(PHONE), challenge="c"), b"key")
    assert first == fingerprint(request(referrer=None), b"key")
    assert len(first) == 64


@pytest.mark.parametrize(
    "other",
    [
        {"client_phone": "89161234568"},
        {"site": "other"},
        {"referrer": "https://a.example/"},
        {"planned_time": NOW},
        {"consent": False},
        {"department": ""},
    ],
)
def test_different_requests_have_different_fingerprints(other: dict[str, Any]) -> None:
    assert fingerprint(request(**other), b"key") != fingerprint(request(), b"key")


def test_a_fingerprint_depends_on_the_secret_and_does_not_contain_the_number() -> None:
    digest = fingerprint(request(), b"key")
    assert digest != fingerprint(request(), b"other")
    assert "9161234567" not in digest


def test_a_request_with_lone_surrogates_has_a_fingerprint() -> None:
    assert fingerprint(request(active_page="\ud800", referrer="\udfff"), b"key")


def test_ids_are_ordered_by_time_and_unique() -> None:
    ids = [new_id(NOW + timedelta(milliseconds=step)) for step in range(1000)]
    assert ids == sorted(ids)
    assert len({new_id(NOW) for _ in range(1000)}) == 1000
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in ids} == {(7, uuid.RFC_4122)}


@pytest.mark.parametrize(
    ("site", "department", "message"),
    [
        ({}, {}, "Sales"),
        ({"manager_phone": "74950000001"}, {}, "Sales"),
        ({"message_on_ring": "From the site"}, {}, "From the site"),
        ({}, {"manager_phone": "74950000002"}, None),
        ({}, {"message_on_ring": "For sales"}, "For sales"),
        ({"message_on_ring": "From the site"}, {"message_on_ring": "For sales"}, "For sales"),
        ({"message_on_ring": "From the site"}, {"manager_phone": "74950000002"}, "From the site"),
    ],
)
def test_the_manager_hears_the_name_of_a_department_without_manager_and_message(
    site: dict[str, Any], department: dict[str, Any], message: str | None
) -> None:
    offered = {"sales": {"name": "Sales"} | department, "service": {"name": "Service"} | department}
    chosen = settings(Path("unused"), sites={"shop": site | {"departments": offered}})
    assert accepted(chosen, department="sales").message_on_ring == message
    assert accepted(chosen).message_on_ring == site.get("message_on_ring")


def test_a_service_decides_itself_whom_a_department_phones_and_with_which_text() -> None:
    chosen = settings(Path("unused"), sites={"shop": {"departments": {"sales": {"name": "Sales"}}}})
    assert accepted(chosen, CRM, department="sales").message_on_ring == "Sales"
    assert accepted(chosen, CRM, department="sales", message_on_ring="Lead 4711").message_on_ring == "Lead 4711"
    assert accepted(chosen, CRM, department="sales", manager_phone="74950000002").message_on_ring is None
