"""GET /widget.js and /widget/<version>/*: the widget's files, as they lie in the folder beside the package.

The loader is asked for again every few minutes and names the version of all the others, which then never change.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.errors import NotFound

_FOLDER = Path(__file__).parent.parent.parent / "widget"
_LOADER = "widget.js"
_TYPES = {".js": "text/javascript; charset=utf-8", ".html": "text/html; charset=utf-8"}
_SHARED = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    media_type: str
    etag: str


def widget_router(folder: Path = _FOLDER) -> APIRouter:
    """Read the files once and serve them from memory."""
    bodies = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in _TYPES}
    version = hashlib.sha256(b"\0".join(name.encode() + b"\0" + bodies[name] for name in bodies)).hexdigest()[:12]
    bodies[_LOADER] = bodies[_LOADER].replace(b"__VERSION__", version.encode())
    files = {
        name: _File(body, _TYPES[Path(name).suffix], f'"{hashlib.sha256(body).hexdigest()[:16]}"')
        for name, body in bodies.items()
    }
    router = APIRouter(include_in_schema=False)

    @router.api_route("/widget.js", methods=["GET", "HEAD"])
    async def loader(request: Request) -> Response:
        return _answer(request, files[_LOADER], "public, max-age=300, stale-while-revalidate=86400")

    @router.api_route("/widget/{asked}/{name}", methods=["GET", "HEAD"])
    async def part(request: Request, asked: str, name: str) -> Response:
        if name not in files:
            raise NotFound("not_found", "The widget has no such file.")
        # A page that was opened before an update may ask for the version before: give it today's files, not for long.
        lasting = asked == version
        return _answer(request, files[name], "public, max-age=31536000, immutable" if lasting else "no-cache")

    return router


def _answer(request: Request, file: _File, cache: str) -> Response:
    headers = {"ETag": file.etag, "Cache-Control": cache, **_SHARED}
    known = request.headers.get("if-none-match", "")
    if file.etag in known or known == "*":
        return Response(status_code=304, headers=headers)
    return Response(file.body, media_type=file.media_type, headers=headers)
