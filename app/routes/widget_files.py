"""The widget's files as they go out: stripped of comments and blanks, and compressed once.

A *release* is all of them together, named by a hash of what is in them: two releases of one name are the same bytes.
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
"""The content codings there are of each file, best first."""

_PAGE = ".html"
_SCRIPT = ".js"
_TYPES = {_SCRIPT: "text/javascript; charset=utf-8", _PAGE: "text/html; charset=utf-8"}
_VERSION_MARK = b"__VERSION__"


@dataclass(frozen=True, slots=True)
class Coded:
    """The bytes of a file in one coding. ``etag``: strong, so another one for each coding, with its quotes."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class File:
    """One file by coding, "identity" among them. ``integrity``: as the attribute of that name takes it (W3C SRI)."""

    media_type: str
    coded: Mapping[str, Coded]
    integrity: str


@dataclass(frozen=True, slots=True)
class Release:
    """All files of one version of the widget, by name. ``version``: 12 hexadecimal digits."""

    version: str
    files: Mapping[str, File]

    def bodies(self) -> dict[str, bytes]:
        """Give what `make_release` makes the same release of."""
        return {name: file.coded[IDENTITY].body for name, file in self.files.items()}


def read_release(folder: Path = FOLDER) -> Release:
    """Read the files of a folder, strip the scripts, and put the version into the loader."""
    bodies = {path.name: _stripped(path) for path in sorted(folder.iterdir()) if path.suffix in _TYPES}
    named = b"".join(name.encode() + b"\0" + hashlib.sha256(body).digest() for name, body in bodies.items())
    version = hashlib.sha256(named).hexdigest()[:12]
    bodies[LOADER] = bodies[LOADER].replace(_VERSION_MARK, version.encode())
    return make_release(version, bodies)


def make_release(version: str, bodies: Mapping[str, bytes]) -> Release:
    """Make a release of its files' bodies by name; compressing takes some hundredths of a second."""
    return Release(version, {name: _file(Path(name).suffix, body) for name, body in bodies.items()})


def _stripped(path: Path) -> bytes:
    text = path.read_text(encoding="utf-8")
    return (jsmin(text) if path.suffix == _SCRIPT else text).encode()


def _file(suffix: str, body: bytes) -> File:
    packed = {
        "br": brotli.compress(body, mode=brotli.MODE_TEXT, quality=11),
        "gzip": gzip.compress(body, 9, mtime=0),
        IDENTITY: body,
    }
    digest = base64.b64encode(hashlib.sha384(body).digest()).decode()
    return File(_TYPES[suffix], {coding: _coded(content) for coding, content in packed.items()}, f"sha384-{digest}")


def _coded(body: bytes) -> Coded:
    return Coded(body, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
