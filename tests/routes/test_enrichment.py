"""Fields that the service adds to a request: in the stored row, and in the parameters that Chaser receives."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.routes.refusal import OTHER_ORIGIN, assert_refused
from tests.running import AUTHORIZED, ORIGIN, Chaser, Service, client, phone

ReadRow = Callable[[httpx2.Response], dict[str, Any]]
ReadParameters = Callable[[httpx2.Response, str], dict[str, Any]]


def test_a_minimal_request_reaches_chaser_with_the_known_fields_only(here: Service, arrived: ReadParameters) -> None:
    number = phone()
    parameters = arrived(here.ask({"origin": ORIGIN}, client_phone=number), number)
    assert parameters == {
        "site_id": "12345",
        "client_phone": number,
        "active_page": ORIGIN,
        "client_ip": "127.0.0.1",
    }


def test_a_full_request_reaches_chaser_with_all_fields(here: Service, arrived: ReadParameters) -> None:
    number = phone()
    page = "https://shop.example/каталог?utm_source=a b&q=~+%D0%BF#цена".replace(" ", "%20")
    answer = here.ask(
        {"origin": ORIGIN},
        client_phone=number,
        site="terms",
        active_page=page,
        referrer="https://search.example/?q=звонок",
        department="sales",
    )
    assert arrived(answer, number) == {
        "site_id": "12345",
        "client_phone": number,
        "manager_phone": "74950000002",
        "active_page": page,
        "client_ip": "127.0.0.1",
        "message_on_ring": "For sales",
        "nwt_action": "always_call",
        "call_stack_start_hour": "10",
        "call_stack_interval": "5",
        "referrer": "https://search.example/?q=звонок",
    }


def test_the_client_address_is_that_of_the_connection(here: Service, stored: ReadRow) -> None:
    with client(here.url, from_address="127.0.0.9") as http:
        row = stored(Service(here.url, http).ask(client_phone=phone()))
    assert row["client_ip"] == row["client_bucket"] == "127.0.0.9"


@pytest.mark.parametrize("header", ["x-forwarded-for", "x_forwarded_for", "x-real-ip", "forwarded", "client-ip"])
def test_a_header_of_an_untrusted_client_changes_no_address(here: Service, stored: ReadRow, header: str) -> None:
    answer = here.ask({"origin": ORIGIN, header: "192.0.2.1"}, client_phone=phone())
    assert stored(answer)["client_ip"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address", "bucket"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.7"),
        ("192.0.2.1, 203.0.113.7", "203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 127.0.0.2", "203.0.113.7", "203.0.113.7"),
        ("[2001:db8:1:2:3::4]:4711", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7"),
        ("no address", "127.0.0.2", "127.0.0.2"),
    ],
)
def test_the_client_address_is_taken_from_a_trusted_proxy(
    by_proxy: Service, stored: ReadRow, forwarded: str, address: str, bucket: str
) -> None:
    row = stored(by_proxy.ask({"origin": ORIGIN, "x-forwarded-for": forwarded}, client_phone=phone()))
    assert (row["client_ip"], row["client_bucket"]) == (address, bucket)


def test_the_client_address_reaches_chaser(by_proxy: Service, arrived: ReadParameters) -> None:
    number = phone()
    answer = by_proxy.ask({"origin": ORIGIN, "x-forwarded-for": "2001:db8::1"}, client_phone=number)
    assert arrived(answer, number)["client_ip"] == "2001:db8::1"


def test_a_visitor_cannot_set_the_client_address(here: Service) -> None:
    answer = here.ask(client_phone=phone(), client_ip="192.0.2.1")
    assert_refused(answer, 422, "invalid", {"client_ip": "needs_api_key"})


PAGE = f"{ORIGIN}/catalog?utm_source=mail#price"


@pytest.mark.parametrize(
    ("given", "referer", "page"),
    [
        (PAGE, f"{ORIGIN}/other", PAGE),
        (None, PAGE, PAGE),
        (None, None, ORIGIN),
        (None, "https://evil.example/", ORIGIN),
        ("https://evil.example/", PAGE, PAGE),
        ("https://evil.example/", "https://evil.example/", ORIGIN),
        ("javascript:alert(1)", None, ORIGIN),
        (f"{ORIGIN}/\u0000", None, ORIGIN),
        ("", None, ORIGIN),
        (f"{OTHER_ORIGIN}/", None, ORIGIN),
    ],
)
def test_the_page_is_from_the_widget_or_the_referer_or_the_origin(
    here: Service, stored: ReadRow, given: str | None, referer: str | None, page: str
) -> None:
    headers = {"origin": ORIGIN} | ({"referer": referer} if referer else {})
    assert stored(here.ask(headers, client_phone=phone(), active_page=given))["active_page"] == page


def test_a_page_with_a_lone_surrogate_is_left_out(here: Service, stored: ReadRow) -> None:
    body = f'{{"site":"shop","client_phone":"{phone()}","active_page":"{ORIGIN}/\\ud800","referrer":"\\ud800"}}'
    headers = {"origin": ORIGIN, "content-type": "application/json"}
    row = stored(here.http.post("/v1/callbacks", content=body, headers=headers))
    assert (row["active_page"], row["referrer"]) == (ORIGIN, None)


def test_a_request_with_a_key_and_without_an_origin_has_no_page(here: Service, arrived: ReadParameters) -> None:
    number = phone()
    assert "active_page" not in arrived(here.ask(AUTHORIZED, client_phone=number), number)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://search.example/?q=a", "https://search.example/?q=a"),
        ("http://127.0.0.1:8001/", "http://127.0.0.1:8001/"),
        ("javascript:alert(1)", None),
        ("https://user:secret@search.example/", None),
        ("", None),
        (None, None),
    ],
)
def test_the_referrer_is_stored_if_it_is_a_web_address(
    here: Service, stored: ReadRow, given: str | None, kept: str | None
) -> None:
    assert stored(here.ask(client_phone=phone(), referrer=given))["referrer"] == kept


def test_the_settings_of_the_site_are_applied(here: Service, stored: ReadRow) -> None:
    row = stored(here.ask(client_phone=phone(), site="terms"))
    assert (row["manager_phone"], row["message_on_ring"]) == ("74950000001", "From the site")
    assert (row["nwt_action"], row["call_stack_start_hour"], row["call_stack_interval"]) == ("always_call", 10, 5)


def test_a_department_inherits_the_settings_of_the_site(here: Service, stored: ReadRow) -> None:
    row = stored(here.ask(client_phone=phone(), site="terms", department="service"))
    assert row["department"] == "service"
    assert (row["manager_phone"], row["message_on_ring"]) == ("74950000001", "From the site")


def test_a_department_of_another_site_is_refused(here: Service) -> None:
    answer = here.ask(client_phone=phone(), department="sales")
    assert_refused(answer, 422, "invalid", {"department": "unknown_department"})


def test_a_planned_time_reaches_chaser_in_unix_seconds(
    here: Service, far_side: Chaser, arrived: ReadParameters
) -> None:
    number = phone()
    planned = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)
    local = planned.astimezone(tz=None).isoformat()
    parameters = arrived(here.ask(client_phone=number, planned_time=local), number)
    assert parameters["planned_time"] == str(int(planned.timestamp()))


PRIVILEGED = {
    "client_ip": "198.51.100.7",
    "manager_phone": "+74950000009",
    "message_on_ring": "Из CRM & <b>",
    "nwt_action": "always_call",
    "call_stack_start_hour": 24,
    "call_stack_interval": 0,
}


def test_a_service_with_a_key_may_set_all_fields(here: Service, arrived: ReadParameters) -> None:
    number = phone()
    page = f"{ORIGIN}/cart"
    answer = here.ask(AUTHORIZED, client_phone=number, active_page=page, **PRIVILEGED)
    assert arrived(answer, number) == {
        "site_id": "12345",
        "client_phone": number,
        "manager_phone": "74950000009",
        "active_page": page,
        "client_ip": "198.51.100.7",
        "message_on_ring": "Из CRM & <b>",
        "nwt_action": "always_call",
        "call_stack_start_hour": "24",
        "call_stack_interval": "0",
    }


def test_a_request_with_a_key_is_stored_with_its_name_and_without_a_bucket(here: Service, stored: ReadRow) -> None:
    row = stored(here.ask(AUTHORIZED, client_phone=phone()))
    assert (row["api_key"], row["client_bucket"]) == ("crm", None)


@pytest.mark.parametrize("field", PRIVILEGED)
def test_a_visitor_may_set_no_privileged_field(here: Service, field: str) -> None:
    answer = here.ask(client_phone=phone(), site="terms", **{field: PRIVILEGED[field]})
    assert_refused(answer, 422, "invalid", {field: "needs_api_key"})


def test_a_request_with_a_key_needs_no_origin_and_ignores_a_wrong_one(here: Service) -> None:
    evil = {"origin": "https://evil.example"} | AUTHORIZED
    assert here.ask(evil, client_phone=phone()).status_code == 202


@pytest.mark.parametrize(
    ("given", "kept"), [("+74951234567", "74951234567"), ("74951234567", "74951234567"), (74951234567, "74951234567")]
)
def test_the_phone_of_the_manager_may_be_a_string_or_a_number(
    here: Service, stored: ReadRow, given: str | int, kept: str
) -> None:
    assert stored(here.ask(AUTHORIZED, client_phone=phone(), manager_phone=given))["manager_phone"] == kept


def test_fields_of_a_service_override_department_and_site(here: Service, stored: ReadRow) -> None:
    fields = {"manager_phone": "74950000009", "message_on_ring": "Mine", "call_stack_interval": 0}
    row = stored(here.ask(AUTHORIZED, client_phone=phone(), site="terms", department="sales", **fields))
    assert (row["manager_phone"], row["message_on_ring"]) == ("74950000009", "Mine")
    assert (row["call_stack_start_hour"], row["call_stack_interval"]) == (10, 0)


def test_another_nwt_action_drops_the_call_stack_of_the_site(here: Service, stored: ReadRow) -> None:
    row = stored(here.ask(AUTHORIZED, client_phone=phone(), site="terms", nwt_action="create_leed"))
    assert row["nwt_action"] == "create_leed"
    assert (row["call_stack_start_hour"], row["call_stack_interval"]) == (None, None)


CONSENT = {"accepted": True, "version": "2026-01", "text": "Я согласен"}


def test_a_consent_is_stored_with_its_proof(by_proxy: Service, stored: ReadRow) -> None:
    before = datetime.now(UTC)
    headers = {"origin": ORIGIN, "x-forwarded-for": "203.0.113.7"}
    consent = stored(by_proxy.ask(headers, client_phone=phone(), site="consent", consent=CONSENT))["consent"]
    at = datetime.fromisoformat(consent.pop("at"))
    assert before <= at <= datetime.now(UTC)
    assert at.utcoffset() == timedelta(0)
    assert consent == {
        "version": "2026-01",
        "url": "https://shop.example/privacy",
        "text": "Я согласен",
        "client_ip": "203.0.113.7",
    }


UNVERSIONED = [True, {"accepted": True}, {"accepted": True, "version": None}, {"accepted": True, "text": "Я согласен"}]


@pytest.mark.parametrize("consent", UNVERSIONED)
def test_a_page_has_to_name_the_version_that_it_showed(here: Service, consent: object) -> None:
    answer = here.ask(client_phone=phone(), site="consent", consent=consent)
    assert_refused(answer, 422, "invalid", {"consent": "consent_required"})


@pytest.mark.parametrize("consent", UNVERSIONED)
def test_a_receipt_names_no_version_that_a_service_did_not_name(
    here: Service, stored: ReadRow, consent: object
) -> None:
    assert (
        stored(here.ask(AUTHORIZED, client_phone=phone(), site="consent", consent=consent))["consent"]["version"]
        is None
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Я согласен", True),
        ("  Я\n согласен ", True),
        ("I consent to the processing of my personal data.", True),
        ("Даю согласие на обработку персональных данных.", False),  # the site has its own words in Russian
        ("Я не согласен", False),
        ("я согласен", False),
        ("", False),
    ],
)
def test_only_a_text_of_the_site_is_stored_as_shown(here: Service, stored: ReadRow, text: str, shown: bool) -> None:
    receipt = stored(here.ask(client_phone=phone(), site="consent", consent=CONSENT | {"text": text}))["consent"]
    assert (receipt["text"], receipt.get("claimed_text")) == ((text, None) if shown else (None, text))


def test_a_service_with_a_key_answers_for_the_text_that_it_passes_on(here: Service, stored: ReadRow) -> None:
    consent = CONSENT | {"text": "Words of the till"}
    assert stored(here.ask(AUTHORIZED, client_phone=phone(), site="consent", consent=consent))["consent"]["text"] == (
        "Words of the till"
    )


@pytest.mark.parametrize("consent", [None, False, {"accepted": False, "version": "2026-01"}])
def test_without_consent_nothing_is_stored(here: Service, consent: object) -> None:
    answer = here.ask(client_phone=phone(), site="consent", consent=consent)
    assert_refused(answer, 422, "invalid", {"consent": "consent_required"})


def test_a_consent_to_an_older_version_is_refused(here: Service) -> None:
    answer = here.ask(client_phone=phone(), site="consent", consent=CONSENT | {"version": "2025-12"})
    assert_refused(answer, 422, "invalid", {"consent": "consent_outdated"})


def test_a_service_with_a_key_may_pass_on_a_consent_or_omit_it(here: Service, stored: ReadRow) -> None:
    assert stored(here.ask(AUTHORIZED, client_phone=phone(), site="consent"))["consent"] is None
    passed_on = here.ask(AUTHORIZED, client_phone=phone(), site="consent", consent=CONSENT, client_ip="198.51.100.7")
    assert stored(passed_on)["consent"]["client_ip"] == "198.51.100.7"


def test_a_refused_consent_from_a_service_refuses_the_request(here: Service) -> None:
    answer = here.ask(AUTHORIZED, client_phone=phone(), site="consent", consent=False)
    assert_refused(answer, 422, "invalid", {"consent": "consent_required"})


def test_a_site_without_a_consent_document_stores_no_consent(here: Service, stored: ReadRow) -> None:
    assert stored(here.ask(client_phone=phone(), consent=CONSENT))["consent"] is None
