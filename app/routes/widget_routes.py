"""GET /widget.js and /widget/<version>/*: the widget's files, compressed in advance.

Browsers cache the loader, /widget.js, for minutes. It names the version of all other files, which never change.
Under /widget-<version>.js the loader never changes either, for pages that pin it by its hash. /widget.json has that
path and the hashes. Every version that the service has served stays available after an update.
"""

from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from app.edge.content_negotiation import best_coding, is_known
from app.errors import NotFoundError
from app.routes.dependencies import Services, ServicesDep
from app.routes.widget_files import CODINGS, LOADER, File, Release, read_release
from app.routes.widget_releases import Releases

_SHARED = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
_SHORT_CACHE = "public, max-age=300, stale-while-revalidate=86400"
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"


def widget_router(current: Release | None = None) -> APIRouter:
    """Return a router that serves a release from memory; None: the release in the folder `widget`, read once."""
    releases = Releases(current or read_release())
    pinning = _pinning(releases.current)
    router = APIRouter(include_in_schema=False)

    @router.api_route("/widget.js", methods=["GET", "HEAD"])
    async def loader(request: Request, services: ServicesDep) -> Response:
        response = _file_response(request, releases.current.files[LOADER], _SHORT_CACHE)
        response.background = BackgroundTask(releases.save_current, services.outbox, services.clock())
        return response

    @router.api_route("/widget.json", methods=["GET", "HEAD"])
    async def integrity(services: ServicesDep) -> Response:
        save = BackgroundTask(releases.save_current, services.outbox, services.clock())
        return JSONResponse(pinning, headers={"Cache-Control": _REVALIDATE, **_SHARED}, background=save)

    @router.api_route("/widget-{version}.js", methods=["GET", "HEAD"])
    async def pinned_loader(request: Request, services: ServicesDep, version: str) -> Response:
        return await _of_version(request, services, version, LOADER)

    @router.api_route("/widget/{version}/{name}", methods=["GET", "HEAD"])
    async def part(request: Request, services: ServicesDep, version: str, name: str) -> Response:
        if name == LOADER:  # from that path it would derive a wrong address of the service
            raise _no_such_file()
        return await _of_version(request, services, version, name)

    async def _of_version(request: Request, services: Services, version: str, name: str) -> Response:
        release = await releases.find(version, services.outbox)
        # An unknown version gets the current files, which may work. No cache may keep them for that version.
        cache = _IMMUTABLE if release else _REVALIDATE
        file = (release or releases.current).files.get(name)
        if file is None:
            raise _no_such_file()
        return _file_response(request, file, cache)

    return router


def _no_such_file() -> NotFoundError:
    return NotFoundError("not_found", "The widget has no such file.")


def _file_response(request: Request, file: File, cache: str) -> Response:
    """Return a file in the coding that the client prefers, or a 304 if the client's copy is current."""
    coding = best_coding(_header(request, "accept-encoding"), CODINGS)
    coded = file.coded[coding]
    headers = {"ETag": coded.etag, "Cache-Control": cache, "Vary": "Accept-Encoding", **_SHARED}
    if is_known(_header(request, "if-none-match"), coded.etag):
        return Response(status_code=304, headers=headers)
    if coding in CODINGS:
        headers["Content-Encoding"] = coding
    return Response(coded.body, media_type=file.media_type, headers=headers)


def _header(request: Request, name: str) -> str | None:
    """Return a header as one comma-separated list, even if it was sent in several lines; None if absent."""
    lines = request.headers.getlist(name)
    return ",".join(lines) if lines else None


def _pinning(release: Release) -> dict[str, object]:
    """Return the paths of a release, relative to the service, with their hashes for pages that pin them."""
    return {
        "version": release.version,
        "src": f"widget-{release.version}.js",
        "integrity": release.files[LOADER].integrity,
        "modules": {
            f"widget/{release.version}/{name}": file.integrity
            for name, file in release.files.items()
            if name.endswith(".js") and name != LOADER
        },
    }
