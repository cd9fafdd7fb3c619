"""A repeated request gets its first response, even if it would be refused by now."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.log_records import events
from tests.routes.refusal import assert_refused
from tests.running import AUTHORIZED, ORIGIN, Clock, Service, phone, service, settings

CONSENT = {"url": "https://shop.example/p", "version": "2"}


def test_a_request_with_a_planned_time_that_is_past_by_now_is_replayed(tmp_path: Path) -> None:
    clock = Clock()
    with service(settings(tmp_path), clock=clock) as here:
        planned = (clock() + timedelta(minutes=10)).isoformat()
        fields = {"client_phone": phone(), "planned_time": planned, "request_id": "planned"}
        first = here.ask(**fields)
        clock.advance(minutes=11)
        again = here.ask(**fields)
        assert again.status_code == first.status_code == 202
        assert again.json() == first.json()
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        without_key = fields | {"request_id": "another"}
        assert_refused(here.ask(**without_key), 422, "invalid", {"planned_time": "planned_time_past"})


@pytest.mark.parametrize("headers", [{"origin": ORIGIN}, AUTHORIZED], ids=["visitor", "service"])
@pytest.mark.parametrize(
    ("before", "since"),
    [
        ({"departments": {"sales": {"name": "Sales"}}}, {"departments": None}),
        ({}, {"regions": ["KZ"]}),
    ],
    ids=["removed department", "removed region"],
)
def test_changed_settings_do_not_change_a_replay(
    tmp_path: Path, headers: dict[str, str], before: dict[str, Any], since: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {"client_phone": phone()} | ({"department": "sales"} if before else {})
    with_key = headers | {"idempotency-key": "settings"}
    with service(settings(tmp_path, sites={"shop": before})) as here:
        first = here.ask(with_key, **fields).json()
    with service(settings(tmp_path, sites={"shop": since})) as here:
        again = here.ask(with_key, **fields)
        assert (again.status_code, again.json()) == (202, first)
        assert again.headers["idempotency-replayed"] == "true"
        assert here.ask(headers, **fields).status_code == 422


def test_a_request_with_a_consent_that_is_outdated_by_now_is_replayed(tmp_path: Path) -> None:
    fields = {"client_phone": phone(), "consent": {"accepted": True, "version": "2"}, "request_id": "consent"}
    with service(settings(tmp_path, sites={"shop": {"consent": CONSENT}})) as here:
        first = here.ask(**fields).json()
    with service(settings(tmp_path, sites={"shop": {"consent": CONSENT | {"version": "3"}}})) as here:
        assert here.ask(**fields).json() == first


@pytest.mark.parametrize("headers", [{"origin": ORIGIN}, AUTHORIZED], ids=["visitor", "service"])
def test_an_invalid_request_under_a_used_key_is_refused_for_its_fields(here: Service, headers: dict[str, str]) -> None:
    assert here.ask(headers, client_phone=phone(), request_id="used-and-wrong").status_code == 202
    invalid = here.ask(headers, client_phone="112", request_id="used-and-wrong")
    assert_refused(invalid, 422, "invalid", {"client_phone": "phone_short_number"})


def test_a_replay_of_a_request_that_would_be_refused_by_now_is_logged_without_a_phone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, number = Clock(), phone()
    with caplog.at_level(logging.INFO, "app"), service(settings(tmp_path), clock=clock) as here:
        planned = (clock() + timedelta(minutes=10)).isoformat()
        for _ in range(2):
            assert here.ask(client_phone=number, planned_time=planned, request_id="logged").status_code == 202
            clock.advance(minutes=11)
    logged = events(caplog.records, "callback.accepted")
    assert [one["replayed"] for one in logged] == [False, True]
    assert logged[1]["client_phone"] is None
    assert number not in caplog.text
