"""GET /v1/callbacks/{id} without an API key: a visitor learns how their own call went, and nothing about others."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.routes.conftest import BOUND_KEY, READER_KEY, digest
from tests.routes.refusal import OTHER_ORIGIN, assert_refused
from tests.running import AT_ONCE, AUTHORIZED, Chaser, Clock, Service, phone, service, settings, until

WRITER_KEY = "ccb_may-only-write"
KEYS = {
    "reader": {"sha256": digest(READER_KEY), "scopes": ["callbacks:read"]},
    "writer": {"sha256": digest(WRITER_KEY), "scopes": ["callbacks:write"]},
    "bound": {"sha256": digest(BOUND_KEY), "scopes": ["callbacks:read"], "sites": ["other"]},
}


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("status")


@pytest.fixture(scope="module")
def here(folder: Path, clock: Clock, far_side: Chaser) -> Iterator[Service]:
    sites = {"other": {"site_id": 1, "origins": [OTHER_ORIGIN]}}
    chosen = settings(folder, far_side.api_url, sites=sites, api_keys=KEYS)
    with service(chosen, clock=clock, poll_interval=AT_ONCE) as running:
        yield running


@pytest.fixture
def held(here: Service) -> str:
    return here.accepted(website="filled in")


def perform(here: Service, callback_id: str, action: str) -> None:
    answer = here.http.post(f"/v1/callbacks/{callback_id}/{action}", headers=AUTHORIZED)
    assert answer.status_code == 200, answer.text


def test_a_callback_is_shown_as_queued_for_its_first_3_seconds(here: Service, clock: Clock) -> None:
    callback_id = here.accepted()
    here.wait_for(callback_id, "placed")
    clock.advance(seconds=2.9)
    assert here.public_status(callback_id) == "queued"
    clock.advance(seconds=0.1)
    assert here.public_status(callback_id) == "placed"


def test_a_held_callback_is_shown_as_queued_however_old_it_is(here: Service, clock: Clock, held: str) -> None:
    clock.advance(days=6)
    assert here.status(held) == "held"
    assert here.public_status(held) == "queued"


def test_a_callback_that_is_being_sent_is_shown_as_queued(here: Service, clock: Clock, far_side: Chaser) -> None:
    far_side.fault("slow", times=1, seconds=1.0)
    callback_id = here.accepted()
    here.wait_for(callback_id, "sending")
    clock.advance(seconds=10)
    assert here.public_status(callback_id) == "queued"
    here.wait_for(callback_id, "placed")
    assert here.public_status(callback_id) == "placed"


def test_a_cancelled_callback_is_shown_as_failed(here: Service, clock: Clock, held: str) -> None:
    perform(here, held, "cancel")
    clock.advance(seconds=3)
    assert here.status(held) == "cancelled"
    assert here.public_status(held) == "failed"


def test_a_failed_and_an_unknown_callback_are_shown_as_they_are(here: Service, clock: Clock, far_side: Chaser) -> None:
    for fault, status in (({"kind": "status", "status": 404}, "failed"), ({"kind": "reset_after"}, "unknown")):
        far_side.fault(**fault, times=1, path="/v1/call")
        callback_id = here.accepted()
        here.wait_for(callback_id, status)
        clock.advance(seconds=3)
        assert here.public_status(callback_id) == status


@pytest.mark.parametrize("took", [20, 90])
def test_a_duplicate_shows_the_status_of_its_original_after_the_time_that_the_original_took(
    here: Service, clock: Clock, far_side: Chaser, took: int
) -> None:
    """Shown at once, `placed` would reveal the earlier request. For a minute at most: it is not the truth."""
    far_side.fault("status", status=503, headers={"Retry-After": str(took)}, times=1)
    number = phone()
    original = here.accepted(client_phone=number)
    until(lambda: here.shown(original)["reason"] == "not_sent")
    clock.advance(seconds=took * 1.3)
    here.wait_for(original, "placed")
    disguised = min(took * 1.3, 60)
    duplicate = here.accepted(client_phone=number)
    assert here.shown(duplicate)["duplicate_of"] == original
    assert here.public_status(duplicate) == "queued"
    clock.advance(seconds=disguised - 0.1)
    assert here.public_status(duplicate) == "queued"
    clock.advance(seconds=0.1)
    assert here.public_status(duplicate) == "placed"


def test_a_duplicate_of_a_held_callback_is_shown_as_queued_too(here: Service, clock: Clock) -> None:
    number = phone()
    first, second = (here.accepted(client_phone=number, website="filled in") for _ in range(2))
    assert here.shown(second)["duplicate_of"] == first
    clock.advance(hours=1)
    assert here.public_status(second) == "queued"


def test_a_visitor_sees_the_id_the_status_and_the_expected_time_of_their_own_request(
    here: Service, clock: Clock
) -> None:
    number = phone()
    here.accepted(client_phone=number)
    clock.advance(seconds=2)
    accepted = here.ask(client_phone=number).json()
    shown = here.http.get(f"/v1/callbacks/{accepted['id']}").json()
    assert shown == {name: accepted[name] for name in ("id", "status", "call_expected_at")}


def test_an_id_is_unknown_after_7_days_and_with_a_key_it_is_not(here: Service, clock: Clock, held: str) -> None:
    callback_id = here.accepted()
    here.wait_for(callback_id, "placed")
    clock.advance(days=7)
    assert here.public_status(callback_id) == "placed"
    clock.advance(seconds=1)
    for one in (callback_id, held):
        assert_refused(here.http.get(f"/v1/callbacks/{one}"), 404, "not_found")
    assert (here.status(callback_id), here.status(held)) == ("placed", "held")


def test_an_erased_callback_is_unknown(here: Service, clock: Clock, folder: Path) -> None:
    callback_id = here.accepted()
    here.wait_for(callback_id, "placed")
    with closing(sqlite3.connect(folder / "callbacks.db", timeout=10, isolation_level=None)) as database:
        database.execute("UPDATE callbacks SET client_phone = NULL WHERE id = ?", [callback_id])
    assert_refused(here.http.get(f"/v1/callbacks/{callback_id}"), 404, "not_found")
    assert here.status(callback_id) == "placed"


def test_a_key_with_the_read_scope_sees_held(here: Service, held: str) -> None:
    answer = here.http.get(f"/v1/callbacks/{held}", headers={"authorization": f"Bearer {READER_KEY}"})
    assert answer.json()["status"] == "held"


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (WRITER_KEY, 403, "scope_missing"),
        (BOUND_KEY, 403, "site_not_allowed"),
        ("ccb_unknown", 401, "invalid_api_key"),
    ],
)
def test_a_key_without_access_to_the_callback_is_refused(
    here: Service, held: str, key: str, status: int, code: str
) -> None:
    answer = here.http.get(f"/v1/callbacks/{held}", headers={"authorization": f"Bearer {key}"})
    assert_refused(answer, status, code)
    assert "held" not in answer.text
