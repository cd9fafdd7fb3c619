"""GET /v1/sites/{site}: the public settings of a site, and the pages that may read them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.settings import Settings
from tests.routes.refusal import OTHER_ORIGIN, assert_protected, assert_refused
from tests.running import AUTHORIZED, ORIGIN, Clock, Service, phone, service, settings


def test_a_site_shows_the_defaults_of_settings_that_are_not_set(here: Service) -> None:
    answer = here.http.get("/v1/sites/shop", headers={"origin": ORIGIN})
    assert answer.status_code == 200
    body = answer.json()
    assert datetime.fromisoformat(body.pop("call_expected_at")) <= datetime.now(UTC)
    assert len(body.pop("free_times")) == 60
    assert body == {
        "site": "shop",
        "allowed": True,
        "regions": ["RU"],
        "timezone": "Europe/Moscow",
        "open": True,
        "departments": [],
        "consent": None,
        "texts": {},
        "theme": {
            "color": "#2563eb",
            "scheme": "auto",
            "button": True,
            "icon": None,
            "position": "right",
            "offset_x": 20,
            "offset_y": 20,
            "corner": 20,
        },
        "triggers": {"exit_intent": False, "seconds": None, "scroll": None},
        "analytics": {"data_layer": False, "gtag": False, "metrika": None},
        "phone": None,
        "challenge": False,
    }


def test_a_site_shows_its_public_settings_and_no_others(here: Service) -> None:
    answer = here.http.get("/v1/sites/terms", headers={"origin": ORIGIN})
    body = answer.json()
    assert body["departments"] == [{"id": "sales", "name": "Sales"}, {"id": "service", "name": "Service"}]
    assert body["texts"] == {"ru": {"button": "Перезвоните мне"}}
    assert (body["theme"]["color"], body["theme"]["position"]) == ("#00aa77", "left")
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
    """Nothing in it is secret. Whether an origin is allowed is decided when a request is sent."""
    answer = here.http.get("/v1/sites/shop", headers={"origin": origin} if origin else {})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["cache-control"] == "public, max-age=30"
    assert_protected(answer)


@pytest.mark.parametrize(
    ("site", "origin", "allowed"),
    [
        ("shop", None, True),
        ("shop", ORIGIN, True),
        ("shop", OTHER_ORIGIN, False),  # a page of another site
        ("shop", "https://evil.example", False),
        ("shop", "null", False),
        ("terms", "https://www.shop.example", True),
        ("terms", "http://www.shop.example", False),
    ],
)
def test_a_site_shows_whether_it_allows_the_origin(here: Service, site: str, origin: str | None, allowed: bool) -> None:
    answer = here.http.get(f"/v1/sites/{site}", headers={"origin": origin} if origin else {})
    assert answer.json()["allowed"] is allowed
    assert answer.headers["vary"] == "Origin"


def test_a_site_shows_the_widget_settings_of_its_owner(tmp_path: Path) -> None:
    chosen = {
        "theme": {"scheme": "dark", "button": False, "icon": "M2 2h20v20z", "offset_x": 0, "offset_y": 90, "corner": 0},
        "triggers": {"exit_intent": True, "seconds": 30, "scroll": 60},
        "analytics": {"data_layer": True, "gtag": True, "metrika": 12345678},
    }
    with service(settings(tmp_path, sites={"shop": chosen})) as here:
        body = here.http.get("/v1/sites/shop").json()
    for part, fields in chosen.items():
        assert body[part].items() >= fields.items()


def test_a_site_is_open_in_its_working_hours_and_shows_when_it_calls(tmp_path: Path) -> None:
    clock = Clock(datetime(2026, 3, 6, 14, 58, tzinfo=UTC))  # a Friday, 17:58 in Moscow
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

        assert shown("shop") == shown("later") == (True, "2026-03-06T14:58:00Z")
        clock.advance(minutes=1)
        assert shown("shop") == shown("later") == (True, None)  # Chaser's clock may say that it is closed
        clock.advance(minutes=1)
        assert shown("shop") == (False, None)
        assert shown("later") == (False, "2026-03-09T07:00:00Z")  # Monday, 10:00 in Moscow


def test_a_free_time_is_accepted_and_another_is_refused(tmp_path: Path) -> None:
    clock = Clock(datetime(2026, 3, 6, 14, 31, tzinfo=UTC))  # a Friday, 17:31 in Moscow
    chosen = settings(tmp_path, sites={"shop": {"working_hours": "mon-fri 09:00-18:00"}})
    with service(chosen, clock=clock) as here:
        times = here.http.get("/v1/sites/shop").json()["free_times"]
        assert (times[0], times[-1]) == ("2026-03-09T06:00:00Z", "2026-03-11T14:30:00Z")
        accepted = here.ask(client_phone=phone(), planned_time=times[0])
        assert accepted.status_code == 202
        assert accepted.json()["call_expected_at"] == times[0]
        in_moscow = here.ask(client_phone=phone(), planned_time="2026-03-09T09:00:00+03:00")
        assert in_moscow.json()["call_expected_at"] == times[0]  # in UTC, like all times
        night = here.ask(client_phone=phone(), planned_time="2026-03-09T03:00:00Z")
        assert_refused(night, 422, "invalid", {"planned_time": "planned_time_closed"})
        service_at_night = {"client_phone": phone(), "planned_time": "2026-03-09T03:00:00Z"}
        assert here.ask(AUTHORIZED, **service_at_night).status_code == 202


def after_hours(folder: Path) -> Settings:
    chosen = {
        "working_hours": "mon-fri 09:00-18:00",
        "nwt_action": "always_call",
        "call_stack_start_hour": 10,
        "call_stack_interval": 5,
    }
    return settings(folder, sites={"shop": chosen})


def test_a_closed_site_promises_its_start_hour_to_everybody(tmp_path: Path) -> None:
    clock = Clock(datetime(2026, 3, 6, 20, tzinfo=UTC))  # a Friday, 23:00 in Moscow
    with service(after_hours(tmp_path), clock=clock) as here:
        for _ in range(3):
            shown = here.http.get("/v1/sites/shop").json()["call_expected_at"]
            assert shown == "2026-03-09T07:00:00Z"  # Monday, 10:00 in Moscow
            accepted = here.ask(client_phone=phone()).json()
            assert accepted["call_expected_at"] == shown
            assert here.http.get(f"/v1/callbacks/{accepted['id']}").json()["call_expected_at"] == shown
            clock.advance(minutes=10)
        planned = here.http.get("/v1/sites/shop").json()["free_times"][4]
        assert here.ask(client_phone=phone(), planned_time=planned).json()["call_expected_at"] == planned


def test_a_site_with_unknown_hours_promises_no_time_and_offers_none(here: Service) -> None:
    site = here.http.get("/v1/sites/other").json()
    assert (site["open"], site["call_expected_at"], site["free_times"]) == (True, None, [])
    answer = here.ask({"origin": OTHER_ORIGIN}, client_phone=phone(), site="other")
    assert (answer.status_code, answer.json()["call_expected_at"]) == (202, None)
    public = here.http.get(f"/v1/callbacks/{answer.json()['id']}").json()
    assert public["call_expected_at"] is None
