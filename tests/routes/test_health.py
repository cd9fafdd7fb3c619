"""GET /livez and /readyz. What they say without a database is tested in test_not_our_day.py."""

from pathlib import Path

import pytest

from app.simulator.options import Account, Options, Site
from tests.routes.refusal import assert_protected
from tests.running import Service, chaser, service, settings, until


def test_a_living_process_says_so(here: Service) -> None:
    answer = here.http.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert_protected(answer)


def test_a_service_that_can_take_requests_is_ready(here: Service) -> None:
    until(lambda: here.http.get("/readyz").json()["waiting"] == 0)
    answer = here.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "database": "ok",
        "delivery": "ok",
        "waiting": 0,
        "accounts": {"4711": "ok"},
    }
    assert_protected(answer)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_is_not_counted_as_a_flood_and_not_logged_as_a_request(
    here: Service, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="app")
    for _ in range(3):
        assert here.http.get(path).status_code == 200
    assert not [record for record in caplog.records if record.message == "http.request"]


def test_an_account_that_chaser_refuses_is_told_and_requests_are_still_taken(tmp_path: Path) -> None:
    accounts = (Account("4711", "another-key-than-ours", (Site("12345", "shop.example"),)),)
    with chaser(Options(accounts)) as far_side, service(settings(tmp_path, far_side.api_url)) as here:
        waiting = here.accepted()
        until(lambda: here.http.get("/readyz").json()["accounts"] == {"4711": "paused"})
        answer = here.http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ok",
            "database": "ok",
            "delivery": "ok",
            "waiting": 1,
            "accounts": {"4711": "paused"},
        }
        assert here.status(waiting) == "queued"
        assert here.status(here.accepted()) == "queued"
        assert not far_side.calls()
