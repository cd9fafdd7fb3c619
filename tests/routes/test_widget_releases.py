"""After an update of the service, pages with an earlier loader still get the files of its release."""

import asyncio
import contextlib
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.routes.widget_files import Release, read_release
from tests.outbox.factories import InspectableOutbox
from tests.routes.refusal import assert_refused
from tests.running import ORIGIN, Service, service, settings, until

NOW = datetime(2026, 1, 31, tzinfo=UTC)
SOURCES = {"widget.js": "earlier(__VERSION__);", "dialog.js": "export const earlier=1;" * 20, "gone.js": "export{}"}


def release_of(sources: dict[str, str]) -> Release:
    """Return the release of a version of the service with these files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources.items():
            (Path(folder) / name).write_text(source)
        return read_release(Path(folder))


EARLIER, FILES = release_of(SOURCES).version, release_of(SOURCES).bodies()
IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture
def updated(tmp_path: Path) -> Path:
    """The folder of a service that served an earlier release before its update."""
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    asyncio.run(outbox.save_release(EARLIER, FILES, NOW))
    outbox.close()
    return tmp_path


def saved_files(folder: Path) -> dict[tuple[str, str], bytes]:
    with contextlib.closing(sqlite3.connect(f"file:{folder}/callbacks.db?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT version, name, body FROM widget_files").fetchall()
    return {(version, name): body for version, name, body in rows}


def test_an_earlier_release_is_still_served(updated: Path) -> None:
    with service(settings(updated)) as here:
        for path, name in (
            (f"/widget-{EARLIER}.js", "widget.js"),
            (f"/widget/{EARLIER}/dialog.js", "dialog.js"),
            (f"/widget/{EARLIER}/gone.js", "gone.js"),
        ):
            for accepted in ("br", "gzip", "identity"):
                answer = here.http.get(path, headers={"accept-encoding": accepted})
                assert answer.status_code == 200
                assert answer.content == FILES[name]
                assert answer.headers["cache-control"] == IMMUTABLE
                assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
                assert answer.headers.get("content-encoding", "identity") == accepted
        assert here.http.get("/widget.js").content != FILES["widget.js"]


def test_a_file_missing_in_an_earlier_release_is_not_found(updated: Path) -> None:
    with service(settings(updated)) as here:
        assert_refused(here.http.get(f"/widget/{EARLIER}/callbacks.js", headers={"origin": ORIGIN}), 404, "not_found")


@pytest.mark.parametrize("version", ["ffffffffffff", "any", "0123456789AB", "0123456789abc"])
def test_an_unknown_version_gets_the_current_files_without_caching(here: Service, version: str) -> None:
    current = here.http.get("/widget.json").json()["version"]
    for path, current_path in (
        (f"/widget-{version}.js", "/widget.js"),
        (f"/widget/{version}/dialog.js", f"/widget/{current}/dialog.js"),
    ):
        answer = here.http.get(path)
        assert answer.status_code == 200
        assert answer.content == here.http.get(current_path).content
        assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/widget.js", "/widget.json"])
def test_a_release_is_saved_when_its_version_is_first_served(tmp_path: Path, path: str) -> None:
    current = read_release()
    with service(settings(tmp_path)) as here:
        assert not saved_files(tmp_path)
        assert here.http.get(path).status_code == 200
        until(lambda: bool(saved_files(tmp_path)))
        assert here.http.get(path).status_code == 200
    assert saved_files(tmp_path) == {(current.version, name): body for name, body in current.bodies().items()}


def test_the_current_release_needs_no_database(updated: Path) -> None:
    current = read_release()
    database = contextlib.closing(sqlite3.connect(updated / "callbacks.db", timeout=10, isolation_level=None))
    with service(settings(updated)) as here, database as foreign:
        foreign.execute("ALTER TABLE widget_files RENAME TO gone")
        for path in ("/widget.js", f"/widget-{current.version}.js", f"/widget/{current.version}/dialog.js"):
            assert here.http.get(path).status_code == 200
        earlier = here.http.get(f"/widget/{EARLIER}/dialog.js", headers={"origin": ORIGIN})
        assert_refused(earlier, 503, "storage_unavailable")
        foreign.execute("ALTER TABLE gone RENAME TO widget_files")
        # The failed query and the failed save are retried.
        assert here.http.get(f"/widget/{EARLIER}/dialog.js").content == FILES["dialog.js"]
        assert here.http.get("/widget.js").status_code == 200
        until(lambda: (current.version, "widget.js") in saved_files(updated))


def test_a_release_saved_by_another_process_is_found(tmp_path: Path) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    with service(settings(tmp_path), outbox=outbox) as here:
        path = f"/widget/{EARLIER}/dialog.js"
        assert here.http.get(path).headers["cache-control"] == "no-cache"
        asyncio.run(outbox.save_release(EARLIER, FILES, NOW))
        until(lambda: here.http.get(path).headers["cache-control"] == IMMUTABLE)
        assert here.http.get(path).content == FILES["dialog.js"]


def test_more_releases_than_the_cache_holds_are_served(tmp_path: Path) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    releases = [release_of({"widget.js": "", "dialog.js": f"{number}"}) for number in range(70)]
    for release in releases:
        asyncio.run(outbox.save_release(release.version, release.bodies(), NOW))
    outbox.close()
    with service(settings(tmp_path)) as here:
        for number, release in (*enumerate(releases), *enumerate(releases)):
            assert here.http.get(f"/widget/{release.version}/dialog.js").text == str(number)


ALTERED = {
    "a changed file": FILES | {"dialog.js": b"stolen();"},
    "a changed loader": FILES | {"widget.js": FILES["widget.js"] + b"stolen();"},
    "a file too many": FILES | {"stolen.js": b""},
    "a file too few": {name: body for name, body in FILES.items() if name != "gone.js"},
    "no loader": {name: body for name, body in FILES.items() if name != "widget.js"},
    "swapped names": FILES | {"dialog.js": FILES["gone.js"], "gone.js": FILES["dialog.js"]},
    "another version in the loader": FILES | {"widget.js": b"earlier(000000000000);"},
}


@pytest.mark.parametrize("change", ALTERED)
def test_stored_files_that_differ_from_their_version_are_not_served(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    asyncio.run(outbox.save_release(EARLIER, ALTERED[change], NOW))
    with service(settings(tmp_path), outbox=outbox) as here:
        for path, current in ((f"/widget-{EARLIER}.js", "widget.js"), (f"/widget/{EARLIER}/dialog.js", "dialog.js")):
            answer = here.http.get(path)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
            assert answer.content == read_release().bodies()[current]
    assert [record.message for record in caplog.records].count("widget.release_altered") == 1
