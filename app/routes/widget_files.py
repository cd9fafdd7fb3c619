"""The widget's files as they are served: minified and compressed once.

A *release* is one version of all files. Its version is a hash of their contents: one version is always the same bytes.
"""

import base64
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import brotli
from rjsmin import jsmin

from app.edge.content_negotiation import IDENTITY

FOLDER: Final = Path(__file__).parent.parent.parent / "widget"
LOADER: Final = "widget.js"
CODINGS: Final = ("br", "gzip")
"""The content codings of each file, best first."""

_PAGE = ".html"
_SCRIPT = ".js"
_TYPES = {_SCRIPT: "text/javascript; charset=utf-8", _PAGE: "text/html; charset=utf-8"}
_VERSION_MARK = b"__VERSION__"


@dataclass(frozen=True, slots=True)
class Coded:
    """The bytes of a file in one content coding. `etag`: a strong ETag with its quotes, different for each coding."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class File:
    """One file by content coding, including `identity`. `integrity`: the value of that HTML attribute (W3C SRI)."""

    media_type: str
    coded: Mapping[str, Coded]
    integrity: str


@dataclass(frozen=True, slots=True)
class Release:
    """All files of one version of the widget, by name. `version`: 12 hexadecimal digits."""

    version: str
    files: Mapping[str, File]

    def bodies(self) -> dict[str, bytes]:
        """Return the uncompressed files by name, from which `make_release` makes the same release."""
        return {name: file.coded[IDENTITY].body for name, file in self.files.items()}


def read_release(folder: Path = FOLDER) -> Release:
    """Read a release from the files of a folder. Scripts are minified; the loader gets the version inserted."""
    bodies = {path.name: _minified(path) for path in folder.iterdir() if path.suffix in _TYPES}
    version = _version(bodies)
    bodies[LOADER] = bodies[LOADER].replace(_VERSION_MARK, version.encode())
    return make_release(version, bodies)


def make_release(version: str, bodies: Mapping[str, bytes]) -> Release:
    """Compress files, given by name, and return them as a release. Takes some hundredths of a second of CPU time."""
    return Release(version, {name: _file(Path(name).suffix, body) for name, body in bodies.items()})


def is_genuine(version: str, bodies: Mapping[str, bytes]) -> bool:
    """Return whether a version is the hash of files, given by name, as `read_release` returns them."""
    loader = bodies.get(LOADER, b"").replace(version.encode(), _VERSION_MARK)
    return _version({**bodies, LOADER: loader}) == version


def _version(bodies: Mapping[str, bytes]) -> str:
    """Return the hash of files by name; the loader has the mark in place of the version."""
    manifest = b"".join(name.encode() + b"\0" + hashlib.sha256(bodies[name]).digest() for name in sorted(bodies))
    return hashlib.sha256(manifest).hexdigest()[:12]


def _minified(path: Path) -> bytes:
    text = path.read_text(encoding="utf-8")
    return (jsmin(text) if path.suffix == _SCRIPT else text).encode()


def _file(suffix: str, body: bytes) -> File:
    encoded = {
        "br": brotli.compress(body, mode=brotli.MODE_TEXT, quality=11),
        "gzip": gzip.compress(body, 9, mtime=0),
        IDENTITY: body,
    }
    digest = base64.b64encode(hashlib.sha384(body).digest()).decode()
    return File(_TYPES[suffix], {coding: _coded(content) for coding, content in encoded.items()}, f"sha384-{digest}")


def _coded(body: bytes) -> Coded:
    return Coded(body, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
