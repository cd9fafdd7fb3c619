"""Release, retry and cancel over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.routes.conftest import BOUND_KEY, READER_KEY, digest
from tests.routes.refusal import OTHER_ORIGIN, assert_refused
from tests.running import AT_ONCE, AUTHORIZED, Chaser, Clock, Service, chaser, phone, service, settings

BOT_KEY = "ccb_the-key-of-another-service"
KEYS = {
    "bot": {"sha256": digest(BOT_KEY), "scopes": ["callbacks:write"]},
    "reader": {"sha256": digest(READER_KEY), "scopes": ["callbacks:read"]},
    "bound": {"sha256": digest(BOUND_KEY), "scopes": ["callbacks:write"], "sites": ["other"]},
}


@pytest.fixture(scope="module")
def far_side() -> Iterator[Chaser]:
    with chaser() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, far_side: Chaser) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("actions")
    sites = {"other": {"site_id": 1, "origins": [OTHER_ORIGIN]}}
    with service(settings(folder, far_side.api_url, sites=sites, api_keys=KEYS)) as running:
        yield running


def perform(here: Service, callback_id: str, action: str, key: str | None = None) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key}"} if key else AUTHORIZED
    return here.http.post(f"/v1/callbacks/{callback_id}/{action}", headers=headers)


def held(here: Service, number: str) -> str:
    return str(here.ask(client_phone=number, website="https://spam.example").json()["id"])


def test_a_held_callback_is_called_only_after_its_release(here: Service, far_side: Chaser) -> None:
    number, other = phone(), phone()
    callback_id = held(here, number)
    here.wait_for(here.accepted(client_phone=other), "placed")
    assert far_side.calls(client_phone=number) == []
    assert perform(here, callback_id, "release").status_code == 200
    here.wait_for(callback_id, "placed")
    assert len(far_side.calls(client_phone=number)) == 1
    assert_refused(perform(here, callback_id, "release"), 409, "invalid_state")


def test_a_failed_callback_can_be_retried(here: Service, far_side: Chaser) -> None:
    number = phone()
    far_side.fault("status", status=404, times=1)
    callback_id = here.accepted(client_phone=number)
    here.wait_for(callback_id, "failed")
    assert perform(here, callback_id, "retry").status_code == 200
    here.wait_for(callback_id, "placed")
    assert len(far_side.calls(client_phone=number)) == 1


def test_a_held_callback_that_is_cancelled_is_never_called(here: Service, far_side: Chaser) -> None:
    number = phone()
    callback_id = held(here, number)
    assert perform(here, callback_id, "cancel").json() == {"id": callback_id, "status": "cancelled"}
    assert_refused(perform(here, callback_id, "release"), 409, "invalid_state")
    assert far_side.calls(client_phone=number) == []


@pytest.mark.parametrize("action", ["release", "retry", "cancel"])
def test_an_action_needs_a_key_with_write_access_to_the_site(here: Service, action: str) -> None:
    callback_id = held(here, phone())
    assert_refused(here.http.post(f"/v1/callbacks/{callback_id}/{action}"), 401, "missing_api_key")
    assert_refused(perform(here, callback_id, action, "ccb_unknown"), 401, "invalid_api_key")
    assert_refused(perform(here, callback_id, action, READER_KEY), 403, "scope_missing")
    assert_refused(perform(here, callback_id, action, BOUND_KEY), 403, "site_not_allowed")
    assert_refused(perform(here, "01a2079c-bf03-7387-8e96-29518fb19998", action), 404, "not_found")
    assert_refused(perform(here, "nonsense", action), 404, "not_found")
    assert_refused(perform(here, "nonsense", action, BOUND_KEY), 404, "not_found")
    assert_refused(perform(here, "nonsense", action, READER_KEY), 403, "scope_missing")


def test_an_unknown_action_is_refused(here: Service) -> None:
    assert perform(here, held(here, phone()), "delete").status_code == 422


def test_the_history_names_the_key_of_each_action(here: Service) -> None:
    callback_id = held(here, phone())
    for action in ("release", "cancel"):
        perform(here, callback_id, action, BOT_KEY)
    changes = here.http.get(f"/v1/callbacks/{callback_id}", headers=AUTHORIZED).json()["status_history"]
    assert [(change["to_status"], change["actor"]) for change in changes[:2]] == [
        ("held", "visitor"),
        ("queued", "key:bot"),
    ]


@pytest.mark.parametrize("action", ["release", "retry", "cancel"])
def test_an_action_on_a_duplicate_is_refused_with_the_id_to_act_on(here: Service, action: str) -> None:
    number = phone()
    original, duplicate = (here.accepted(client_phone=number) for _ in range(2))
    refused = assert_refused(perform(here, duplicate, action), 409, "invalid_state")
    assert original in refused["detail"]
    assert here.status(duplicate) == "duplicate"


def test_a_release_is_refused_if_another_callback_covers_it(here: Service, far_side: Chaser) -> None:
    number = phone()
    callback_id = held(here, number)
    other = here.accepted(client_phone=number)
    here.wait_for(other, "placed")
    refused = assert_refused(perform(here, callback_id, "release"), 409, "already_called")
    assert other in refused["detail"]
    assert here.status(callback_id) == "held"
    assert len(far_side.calls(client_phone=number)) == 1


def test_a_retry_is_refused_if_the_phone_would_ring_more_often_than_its_cap(tmp_path: Path, far_side: Chaser) -> None:
    clock, number = Clock(), phone()
    chosen = settings(tmp_path, far_side.api_url, quotas={"per_phone": "2/hour"})
    with service(chosen, clock=clock, poll_interval=AT_ONCE) as here:
        far_side.fault("status", status=404, times=1)
        callback_id = here.accepted(client_phone=number)
        here.wait_for(callback_id, "failed")
        for _ in range(2):
            clock.advance(minutes=2)
            here.wait_for(here.accepted(client_phone=number), "placed")
        clock.advance(minutes=2)
        assert_refused(perform(here, callback_id, "retry"), 409, "phone_cap")
        clock.advance(hours=1)
        assert perform(here, callback_id, "retry").status_code == 200
        here.wait_for(callback_id, "placed")
