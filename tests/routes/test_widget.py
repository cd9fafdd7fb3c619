"""The widget's files: the loader that is asked for again and again, and the rest that never changes."""

import re
from pathlib import Path

import httpx2
import pytest

from tests.routes.refusal import OTHER_ORIGIN, assert_protected, assert_refused
from tests.running import ORIGIN, Service

FOLDER = Path(__file__).parent.parent.parent / "widget"
OLD = "0123456789ab"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".js", ".html"))
PARTS = [name for name in FILES if name != "widget.js"]


@pytest.fixture(scope="module")
def version(here: Service) -> str:
    """The version of the files as the loader names it."""
    found = re.search(r"widget/([0-9a-f]{12})/", here.http.get("/widget.js").text)
    assert found is not None
    return found[1]


def etag_of(answer: httpx2.Response) -> str:
    etag = answer.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{16}"', etag)
    return etag


def test_the_loader_is_the_file_with_the_version_put_in(here: Service, version: str) -> None:
    answer = here.http.get("/widget.js")
    assert answer.status_code == 200
    source = (FOLDER / "widget.js").read_text(encoding="utf-8")
    assert source.count("__VERSION__") >= 1
    assert answer.text == source.replace("__VERSION__", version)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=300, stale-while-revalidate=86400"


@pytest.mark.parametrize("name", PARTS)
def test_the_other_files_are_served_as_they_are_and_for_ever(here: Service, version: str, name: str) -> None:
    answer = here.http.get(f"/widget/{version}/{name}")
    assert answer.status_code == 200
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    kind = "javascript" if name.endswith(".js") else "html"
    assert answer.headers["content-type"] == f"text/{kind}; charset=utf-8"


@pytest.mark.parametrize("path", ["/widget.js", f"/widget/{OLD}/{PARTS[0]}"])
@pytest.mark.parametrize("origin", [None, ORIGIN, OTHER_ORIGIN, "https://elsewhere.example", "null"])
def test_any_page_may_load_the_files(here: Service, path: str, origin: str | None) -> None:
    answer = here.http.get(path, headers={"origin": origin} if origin else {})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert_protected(answer)


@pytest.mark.parametrize("path", ["/widget.js", f"/widget/{OLD}/{PARTS[0]}"])
def test_a_file_that_the_browser_has_is_not_sent_again(here: Service, path: str) -> None:
    etag = etag_of(here.http.get(path))
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = here.http.get(path, headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == etag
        assert again.headers["access-control-allow-origin"] == "*"
        assert "cache-control" in again.headers
    assert here.http.get(path, headers={"if-none-match": '"other"'}).status_code == 200


def test_an_older_version_gets_the_files_of_today_but_may_not_keep_them(here: Service, version: str) -> None:
    today = here.http.get(f"/widget/{version}/{PARTS[0]}")
    older = here.http.get(f"/widget/{OLD}/{PARTS[0]}")
    assert older.content == today.content
    assert older.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "name", ["none.js", "types.d.ts", "WIDGET.JS", "%2e%2e%2fpyproject.toml", "widget.js%00", "%ff"]
)
def test_a_file_that_is_not_the_widgets_is_not_found(here: Service, version: str, name: str) -> None:
    assert_refused(here.http.get(f"/widget/{version}/{name}", headers={"origin": ORIGIN}), 404, "not_found")


def test_the_files_can_be_asked_about_without_their_bodies(here: Service) -> None:
    whole, head = here.http.get("/widget.js"), here.http.head("/widget.js")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(
        len((FOLDER / "widget.js").read_bytes().replace(b"__VERSION__", b"0" * 12))
    )
    assert head.headers["etag"] == whole.headers["etag"]
