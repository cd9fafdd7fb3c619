"""GET /v1/callbacks and GET /v1/callbacks/{id} with an API key: the fields, filters and pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.routes.refusal import assert_refused
from tests.running import AUTHORIZED, Service, phone

FIELDS = {
    *("id", "site", "status", "reason", "client_phone", "phone_certain", "created_at", "updated_at", "due_at"),
    *("give_up_at", "call_expected_at", "planned_time", "department", "manager_phone", "message_on_ring"),
    *("nwt_action", "call_stack_start_hour", "call_stack_interval", "active_page", "referrer", "client_ip"),
    *("consent", "api_key", "attempts", "rings_at", "held_for", "duplicate_of", "again_of"),
}


def listed(here: Service, **query: Any) -> httpx2.Response:
    return here.http.get("/v1/callbacks", params=query, headers=AUTHORIZED)


def ids(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["callbacks"]]


def test_a_callback_is_shown_with_all_fields_and_attempts(here: Service) -> None:
    number = phone()
    fields = {"message_on_ring": "Lead 7", "client_ip": "203.0.113.9", "referrer": "https://search.example/"}
    callback_id = here.ask(AUTHORIZED, client_phone=number, **fields).json()["id"]
    here.wait_for(callback_id, "placed")
    answer = here.http.get(f"/v1/callbacks/{callback_id}", headers=AUTHORIZED)
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    assert shown.keys() == FIELDS | {"status_history"}
    assert shown.items() >= (fields | {"client_phone": number, "api_key": "crm", "status": "placed"}).items()
    (attempt,) = shown["attempts"]
    assert attempt["answer"]
    assert (attempt["number"], attempt["outcome"], attempt["http_status"]) == (1, "placed", 200)
    without_history = {name: shown[name] for name in FIELDS}
    assert listed(here, client_phone=number).json() == {"callbacks": [without_history], "next_cursor": None}


def test_a_held_callback_is_shown_as_held_with_an_api_key(here: Service) -> None:
    number = phone()
    held = here.ask(client_phone=number, website="https://spam.example").json()["id"]
    assert here.public_status(held) == "queued"
    assert ids(listed(here, client_phone=number, status=["held", "failed"])) == [held]
    assert ids(listed(here, client_phone=number, status="queued")) == []


@pytest.mark.parametrize("notation", ["+7 ({0}) {1}", "8 {0} {1}", "{0}{1}", "7{0}{1}", " 7{0}{1}"])
def test_a_phone_is_found_in_any_notation(here: Service, notation: str) -> None:
    number = phone()
    callback_id = here.accepted(client_phone=number)
    assert ids(listed(here, client_phone=notation.format(number[1:4], number[4:]))) == [callback_id]


def test_a_time_range_includes_its_start_and_excludes_its_end(here: Service) -> None:
    number = phone()
    answer = here.ask(client_phone=number).json()
    at = datetime.fromisoformat(answer["created_at"])
    later, moscow = at + timedelta(microseconds=1), at.astimezone().isoformat()
    assert ids(listed(here, client_phone=number, **{"from": moscow})) == [answer["id"]]
    assert ids(listed(here, client_phone=number, **{"from": later.isoformat()})) == []
    assert ids(listed(here, client_phone=number, to=at.isoformat())) == []
    assert ids(listed(here, client_phone=number, to=later.isoformat())) == [answer["id"]]


def test_a_date_is_its_midnight_in_utc(here: Service) -> None:
    number = phone()
    answer = here.ask(client_phone=number).json()
    day = datetime.fromisoformat(answer["created_at"]).astimezone(UTC).date()
    after = (day + timedelta(days=1)).isoformat()
    assert ids(listed(here, client_phone=number, **{"from": day.isoformat()}, to=after)) == [answer["id"]]
    assert ids(listed(here, client_phone=number, to=day.isoformat())) == []


def test_a_plus_that_became_a_space_is_read_as_a_plus(here: Service) -> None:
    answer = here.http.get("/v1/callbacks?from=2038-01-01T00:00:00+03:00", headers=AUTHORIZED)
    assert answer.json() == {"callbacks": [], "next_cursor": None}


def test_pages_continue_where_the_previous_one_ended(here: Service) -> None:
    number = phone()
    made = [here.ask(AUTHORIZED, client_phone=number, site=site).json()["id"] for site in ("shop", "other", "terms")]
    first = listed(here, client_phone=number, limit=2)
    second = listed(here, client_phone=number, limit=2, cursor=first.json()["next_cursor"])
    assert ids(first) + ids(second) == sorted(made, reverse=True)
    assert second.json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"limit": 0}, {"limit": "greater_than_equal"}),
        ({"limit": 1001}, {"limit": "less_than_equal"}),
        ({"from": "yesterday"}, {"from": "not_a_time"}),
        ({"from": "2026-02-30"}, {"from": "not_a_time"}),
        ({"to": "2026-01-31T10:00:00"}, {"to": "timezone_missing"}),
        ({"from": "2026-02-01", "to": "2026-02-01"}, {"to": "not_after_from"}),
        ({"status": "lost"}, {"status": "enum"}),
        ({"client_phone": "112"}, {"client_phone": "phone_short_number"}),
        ({"state": "failed"}, {"query": "unknown_field"}),
    ],
)
def test_an_invalid_filter_is_refused(here: Service, query: dict[str, Any], fields: dict[str, str]) -> None:
    assert_refused(listed(here, **query), 422, "invalid", fields)


@pytest.mark.parametrize("cursor", ["x", "AaINtiQzdByLdyB2Ch-Xd", "AaINtiQzdByLdyB2Ch-Xdh", "!!!!", "é" * 22])
def test_an_invalid_cursor_is_refused(here: Service, cursor: str) -> None:
    assert_refused(listed(here, cursor=cursor), 422, "invalid_cursor")
