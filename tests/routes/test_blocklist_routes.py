"""The blocklist over HTTP, and its effect on requests."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.routes.conftest import BOUND_KEY, READER_KEY, digest
from tests.routes.refusal import OTHER_ORIGIN, assert_refused
from tests.running import AUTHORIZED, Service, client, phone, service, settings

KEYS = {
    "reader": {"sha256": digest(READER_KEY), "scopes": ["callbacks:read"]},
    "bound": {"sha256": digest(BOUND_KEY), "scopes": ["callbacks:write", "callbacks:read"], "sites": ["other"]},
}
READER = {"authorization": f"Bearer {READER_KEY}"}
BOUND = {"authorization": f"Bearer {BOUND_KEY}"}
VISITOR = "127.3.2.1"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("blocklist")
    sites = {"other": {"site_id": 1, "origins": [OTHER_ORIGIN]}}
    with service(settings(folder, sites=sites, api_keys=KEYS)) as running:
        yield running


def block(here: Service, entry: str, note: str | None = None) -> httpx2.Response:
    return here.http.post("/v1/blocklist", json={"entry": entry, "note": note}, headers=AUTHORIZED)


def unblock(here: Service, entry: str) -> httpx2.Response:
    return here.http.delete("/v1/blocklist", params={"entry": entry}, headers=AUTHORIZED)


def entries(here: Service) -> list[str]:
    answer = here.http.get("/v1/blocklist", headers=READER)
    assert answer.status_code == 200
    return [entry["entry"] for entry in answer.json()["entries"]]


def test_a_blocked_phone_is_held_for_visitors_and_refused_to_services_until_it_is_unblocked(here: Service) -> None:
    number = phone()
    answer = block(here, f"+{number}", "asked never to be phoned")
    assert answer.status_code == 201
    assert answer.json()["entry"] == number
    assert number in entries(here)
    blocked, another = here.ask(client_phone=number).json(), here.ask(client_phone=phone()).json()
    times = {(name, blocked[name]) for name in ("created_at", "call_expected_at")}
    assert blocked.items() - another.items() == times | {("id", blocked["id"])}
    assert here.shown(blocked["id"]).items() >= {"status": "held", "held_for": "blocked_phone"}.items()
    assert here.public_status(blocked["id"]) == "queued"
    assert_refused(here.ask(AUTHORIZED, client_phone=number), 403, "blocked")
    assert unblock(here, number).status_code == 204
    here.wait_for(here.accepted(client_phone=number), "queued")
    here.wait_for(here.ask(AUTHORIZED, client_phone=number).json()["id"], "queued")


def test_blocking_an_entry_again_keeps_its_creation_time(here: Service) -> None:
    number = f"+{phone()}"
    first, again = block(here, number), block(here, number, "asked once more")
    assert again.json() == first.json() | {"note": "asked once more"}


def test_a_blocked_network_is_refused_and_others_are_not(here: Service) -> None:
    assert block(here, "127.3.0.0/16").status_code == 201
    with client(here.url, from_address=VISITOR) as http:
        visitor = Service(here.url, http)
        assert_refused(visitor.ask(client_phone=phone()), 403, "blocked")
        assert here.ask(client_phone=phone()).status_code == 202
        assert unblock(here, "127.3.0.0/16").status_code == 204
        assert visitor.ask(client_phone=phone()).status_code == 202


def test_a_service_that_sends_a_blocked_client_ip_is_refused(here: Service) -> None:
    block(here, "203.0.113.7")
    answer = here.ask(AUTHORIZED, client_phone=phone(), client_ip="203.0.113.7")
    assert_refused(answer, 403, "blocked")
    unblock(here, "203.0.113.7")


def test_waiting_callbacks_of_a_blocked_phone_are_cancelled(here: Service) -> None:
    number = phone()
    callback_id = here.accepted(client_phone=number)
    block(here, f"+{number}")
    here.wait_for(callback_id, "cancelled")  # a running attempt ends first


def test_an_invalid_entry_is_refused_with_the_fix(here: Service) -> None:
    assert_refused(block(here, "shop.example"), 422, "invalid", {"entry": "invalid_format"})
    assert_refused(block(here, "0.0.0.0/0"), 422, "invalid", {"entry": "too_wide"})
    assert_refused(unblock(here, "198.51.100.1"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("GET", {}),
        ("POST", {"json": {"entry": "198.51.100.1"}}),
        ("DELETE", {"params": {"entry": "198.51.100.1"}}),
    ],
)
def test_the_blocklist_needs_an_unbound_key_with_the_scope(
    here: Service, method: str, arguments: dict[str, dict[str, str]]
) -> None:
    def status(headers: dict[str, str]) -> httpx2.Response:
        return here.http.request(method, "/v1/blocklist", headers=headers, **arguments)  # type: ignore[arg-type]

    assert_refused(status({}), 401, "missing_api_key")
    assert_refused(status({"authorization": "Bearer ccb_unknown"}), 401, "invalid_api_key")
    assert_refused(status(BOUND), 403, "site_not_allowed")
    if method != "GET":
        assert_refused(status(READER), 403, "scope_missing")
