"""GET /livez and /readyz. Without a database they are tested in test_database_unavailable.py."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from app.routes import health_routes
from app.simulator.options import Account, Options, Site
from tests.outbox.factories import InspectableOutbox
from tests.routes.conftest import digest
from tests.routes.refusal import assert_protected, assert_refused
from tests.running import AUTHORIZED, ORIGIN, Service, chaser, service, settings, until

PROBES = 20


def test_a_live_process_responds(here: Service) -> None:
    answer = here.http.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert_protected(answer)


def test_a_service_that_can_accept_requests_is_ready(here: Service) -> None:
    until(lambda: here.http.get("/readyz", headers=AUTHORIZED).json()["waiting"] == 0)
    answer = here.http.get("/readyz", headers=AUTHORIZED)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "database": "ok",
        "delivery": "ok",
        "waiting": 0,
        "sites": {"shop": "ok", "other": "ok", "terms": "ok", "consent": "ok"},
    }
    assert_protected(answer)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_may_ask_for_the_head_alone(here: Service, path: str) -> None:
    answer, whole = here.http.head(path), here.http.get(path)
    assert (answer.status_code, answer.content) == (whole.status_code, b"") == (200, b"")
    assert answer.headers["content-type"] == whole.headers["content-type"]
    assert_protected(answer)


KEYS = {
    "writer": {"sha256": digest("ccb_writer"), "scopes": ["callbacks:write", "chaser:read"]},
    "bound": {"sha256": digest("ccb_bound"), "scopes": ["callbacks:read"], "sites": ["shop"]},
}
STRANGERS = {
    "none": {},
    "writer": {"authorization": "Bearer ccb_writer"},
    "bound to a site": {"authorization": "Bearer ccb_bound"},
    "origin": {"origin": ORIGIN},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a key that may only write, and one that is bound to a site."""
    with service(settings(tmp_path_factory.mktemp("shared"), api_keys=KEYS)) as running:
        running.accepted()
        yield running


@pytest.mark.parametrize("stranger", STRANGERS)
def test_without_a_key_for_all_callbacks_readiness_is_a_status_alone(shared: Service, stranger: str) -> None:
    answer = shared.http.get("/readyz", headers=STRANGERS[stranger])
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("stranger", STRANGERS)
def test_without_a_key_for_all_callbacks_only_the_status_of_a_failure_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stranger: str
) -> None:
    monkeypatch.setattr(health_routes, "CHECK_TIMEOUT", 0.2)
    with service(settings(tmp_path, api_keys=KEYS)) as here, locked(tmp_path):
        answer = here.http.get("/readyz", headers=STRANGERS[stranger])
        assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})


@pytest.mark.parametrize("authorization", ["Bearer ccb_guess", "Basic eDp5", "", "Bearer"])
def test_an_unknown_key_is_refused_at_readiness(shared: Service, authorization: str) -> None:
    assert_refused(shared.http.get("/readyz", headers={"authorization": authorization}), 401, "invalid_api_key")
    assert shared.http.get("/livez", headers={"authorization": authorization}).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_are_not_logged(here: Service, path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="app")
    for _ in range(3):
        assert here.http.get(path).status_code == 200
    assert not [record for record in caplog.records if record.message == "http.request"]


def test_a_refused_account_is_shown_and_requests_are_still_accepted(tmp_path: Path) -> None:
    accounts = (Account("4711", "another-key-than-ours", (Site("12345", "shop.example"),)),)
    with chaser(Options(accounts)) as far_side, service(settings(tmp_path, far_side.api_url)) as here:
        waiting = here.accepted()
        expected = {"status": "ok", "database": "ok", "delivery": "ok", "waiting": 1, "sites": {"shop": "paused"}}
        until(lambda: here.http.get("/readyz", headers=AUTHORIZED).json() == expected)
        assert here.http.get("/readyz").status_code == 200
        assert here.status(waiting) == "queued"
        assert here.status(here.accepted()) == "queued"
        assert not far_side.calls()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the database as another program, so that every writer waits."""
    with closing(sqlite3.connect(folder / "callbacks.db", timeout=10, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("COMMIT")


@contextmanager
def count_checks(outbox: InspectableOutbox) -> Iterator[list[str]]:
    """Collect the statements with which readiness checks the database."""
    checks: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "alembic_version" in statement:
            checks.append(statement)

    event.listen(outbox.database.writing, "before_cursor_execute", note)
    yield checks
    event.remove(outbox.database.writing, "before_cursor_execute", note)


def max_checks_since(began: float) -> int:
    """Return the highest number of checks by now: one, and another for each second that has passed."""
    return 1 + int(time.monotonic() - began)


def test_frequent_probes_share_one_check_a_second(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    outbox = InspectableOutbox.open(chosen.database_url)
    with service(chosen, outbox=outbox) as here, count_checks(outbox) as checks:
        began = time.monotonic()
        assert [here.http.get("/readyz").status_code for _ in range(PROBES)] == [200] * PROBES
        assert 1 <= len(checks) <= max_checks_since(began)


def test_concurrent_probes_share_one_check(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    outbox = InspectableOutbox.open(chosen.database_url)
    with service(chosen, outbox=outbox) as here, count_checks(outbox) as checks, ThreadPoolExecutor(PROBES) as threads:
        with locked(tmp_path):
            probes = [threads.submit(here.http.get, "/readyz") for _ in range(PROBES)]
            until(lambda: here.http.get("/livez").status_code == 200)
            assert checks == []
            began = time.monotonic()
        assert [answer.result().status_code for answer in probes] == [200] * PROBES
        assert 1 <= len(checks) <= max_checks_since(began), "probes within the same second need no other check"


def test_a_database_that_does_not_answer_is_reported_without_waiting_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_routes, "CHECK_TIMEOUT", 0.2)
    with service(settings(tmp_path)) as here:
        with locked(tmp_path):
            answer = here.http.get("/readyz", headers=AUTHORIZED)
            assert answer.status_code == 503
            assert answer.json() == {
                "status": "unavailable",
                "database": "unavailable",
                "delivery": "ok",
                "sites": {"shop": "ok"},
            }
        until(lambda: here.http.get("/readyz").status_code == 200)


def test_readiness_names_sites_and_no_account(tmp_path: Path) -> None:
    agency = {"site_id": 7, "origins": ["https://other.example"], "client_id": "9981", "private_key": "of-an-agency"}
    with service(settings(tmp_path, sites={"other": agency})) as here:
        body = here.http.get("/readyz", headers=AUTHORIZED).text
    assert '"sites":{"shop":"ok","other":"ok"}' in body
    assert "4711" not in body
    assert "9981" not in body
