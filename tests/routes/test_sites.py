"""GET /v1/sites/{site}: what the widget is told, and which pages are told it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.routes.refusal import OTHER_ORIGIN, assert_protected
from tests.running import ORIGIN, Clock, Service, service, settings


def test_a_site_with_few_settings_shows_the_defaults(here: Service) -> None:
    answer = here.http.get("/v1/sites/shop", headers={"origin": ORIGIN})
    assert answer.status_code == 200
    body = answer.json()
    assert datetime.fromisoformat(body.pop("call_expected_at")) <= datetime.now(UTC)
    assert body == {
        "site": "shop",
        "regions": ["RU"],
        "timezone": "Europe/Moscow",
        "open": True,
        "departments": [],
        "consent": None,
        "texts": {},
        "theme": {"color": "#2563eb", "position": "right"},
        "phone": None,
    }


def test_a_site_shows_what_visitors_may_see_and_nothing_of_its_terms(here: Service) -> None:
    answer = here.http.get("/v1/sites/terms", headers={"origin": ORIGIN})
    body = answer.json()
    assert body["departments"] == [{"id": "sales", "name": "Sales"}, {"id": "service", "name": "Service"}]
    assert body["texts"] == {"ru": {"button": "Перезвоните мне"}}
    assert body["theme"] == {"color": "#0a7", "position": "left"}
    assert body["phone"] == "+74950000003"
    for secret in ("74950000001", "74950000002", "From the site", "For sales", "12345", "4711", "always_call"):
        assert secret not in answer.text


def test_a_site_shows_its_consent_document(here: Service) -> None:
    body = here.http.get("/v1/sites/consent", headers={"origin": ORIGIN}).json()
    assert body["consent"] == {
        "url": "https://shop.example/privacy",
        "version": "2026-01",
        "text": {"ru": "Я согласен"},
    }


@pytest.mark.parametrize("origin", [None, ORIGIN, OTHER_ORIGIN, "https://evil.example", "null"])
def test_any_page_may_read_it_for_half_a_minute(here: Service, origin: str | None) -> None:
    """Nothing in it is secret; whether a page may ask for the site is decided when it asks."""
    answer = here.http.get("/v1/sites/shop", headers={"origin": origin} if origin else {})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["cache-control"] == "public, max-age=30"
    assert_protected(answer)


def test_a_site_is_open_in_its_working_hours_and_says_when_it_calls(tmp_path: Path) -> None:
    clock = Clock(datetime(2026, 3, 6, 14, 59, tzinfo=UTC))  # a Friday, 17:59 in Moscow
    hours = {"mon-fri": "09:00-18:00"}
    sites = {
        "shop": {"working_hours": hours},
        "later": {
            "site_id": 1,
            "origins": [ORIGIN],
            "working_hours": hours,
            "nwt_action": "always_call",
            "call_stack_start_hour": 10,
        },
    }
    with service(settings(tmp_path, sites=sites), clock=clock) as here:

        def shown(site: str) -> tuple[bool, str | None]:
            body = here.http.get(f"/v1/sites/{site}").json()
            return body["open"], body["call_expected_at"]

        assert shown("shop") == shown("later") == (True, "2026-03-06T14:59:00Z")
        clock.advance(minutes=1)
        assert shown("shop") == (False, None)
        assert shown("later") == (False, "2026-03-09T07:00:00Z")  # Monday, 10:00 in Moscow
