"""A held callback is shown as queued without an API key: a bot must not learn that it was detected."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.outbox.outbox import Outbox
from tests.outbox.factories import callback, rules
from tests.routes.conftest import BOUND_KEY, READER_KEY, digest
from tests.routes.refusal import OTHER_ORIGIN, assert_refused
from tests.running import ORIGIN, Service, service, settings

HELD = callback(hold="honeypot")
KEYS = {
    "reader": {"sha256": digest(READER_KEY), "scopes": ["callbacks:read"]},
    "writer": {"sha256": digest("ccb_may-only-write"), "scopes": ["callbacks:write"]},
    "bound": {"sha256": digest(BOUND_KEY), "scopes": ["callbacks:read"], "sites": ["other"]},
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one held callback."""
    folder: Path = tmp_path_factory.mktemp("held")
    sites = {"other": {"site_id": 1, "origins": [OTHER_ORIGIN]}}
    chosen = settings(folder, sites=sites, api_keys=KEYS)
    outbox = Outbox.open(chosen.database_url)
    asyncio.run(outbox.accept(HELD, None, rules()))
    outbox.close()
    with service(chosen) as running:
        yield running


def shown_status(here: Service, key: str | None) -> str:
    headers = {"authorization": f"Bearer {key}"} if key else {"origin": ORIGIN}
    answer = here.http.get(f"/v1/callbacks/{HELD.id}", headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["status"])


def test_a_client_without_a_key_sees_queued(here: Service) -> None:
    assert shown_status(here, None) == "queued"


def test_a_key_with_the_read_scope_sees_held(here: Service) -> None:
    assert shown_status(here, READER_KEY) == "held"


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("ccb_may-only-write", 403, "scope_missing"),
        (BOUND_KEY, 403, "site_not_allowed"),
        ("ccb_unknown", 401, "invalid_api_key"),
    ],
)
def test_a_key_without_access_to_the_callback_is_refused(here: Service, key: str, status: int, code: str) -> None:
    answer = here.http.get(f"/v1/callbacks/{HELD.id}", headers={"authorization": f"Bearer {key}"})
    assert_refused(answer, status, code)
    assert "held" not in answer.text
