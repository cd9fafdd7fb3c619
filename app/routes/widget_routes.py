"""GET /widget.js and /widget/<version>/*: the widget's files, ready-made in each coding.

The loader is asked for again every few minutes and names the version of all the others, which then never change.
Under /widget-<version>.js the loader never changes either: for pages that pin it by its hash. /widget.json tells that
address and the hashes. Whatever this service has once handed out stays there after an update.
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
_FOR_NOW = "public, max-age=300, stale-while-revalidate=86400"
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


def widget_router(today: Release | None = None) -> APIRouter:
    """Serve a release from memory; None: the files in the folder beside the package, read once."""
    releases = Releases(today or read_release())
    pinning = _pinning(releases.today)
    router = APIRouter(include_in_schema=False)

    @router.api_route("/widget.js", methods=["GET", "HEAD"])
    async def loader(request: Request, services: ServicesDep) -> Response:
        response = _answer(request, releases.today.files[LOADER], _FOR_NOW)
        response.background = BackgroundTask(releases.keep, services.outbox, services.clock())
        return response

    @router.api_route("/widget.json", methods=["GET", "HEAD"])
    async def integrity(services: ServicesDep) -> Response:
        keep = BackgroundTask(releases.keep, services.outbox, services.clock())
        return JSONResponse(pinning, headers={"Cache-Control": _ASK_AGAIN, **_SHARED}, background=keep)

    @router.api_route("/widget-{version}.js", methods=["GET", "HEAD"])
    async def pinned_loader(request: Request, services: ServicesDep, version: str) -> Response:
        return await _of_version(request, services, version, LOADER)

    @router.api_route("/widget/{version}/{name}", methods=["GET", "HEAD"])
    async def part(request: Request, services: ServicesDep, version: str, name: str) -> Response:
        if name == LOADER:  # it would look for the service in that folder
            raise _no_such_file()
        return await _of_version(request, services, version, name)

    async def _of_version(request: Request, services: Services, version: str, name: str) -> Response:
        release = await releases.find(version, services.outbox)
        # A version nobody has kept: today's files may do, but must not be taken for that version's.
        cache = _FOR_EVER if release else _ASK_AGAIN
        file = (release or releases.today).files.get(name)
        if file is None:
            raise _no_such_file()
        return _answer(request, file, cache)

    return router


def _no_such_file() -> NotFoundError:
    return NotFoundError("not_found", "The widget has no such file.")


def _answer(request: Request, file: File, cache: str) -> Response:
    """Give a file in the coding the client likes best, or tell it that it has that already."""
    coding = best_coding(_header(request, "accept-encoding"), CODINGS)
    coded = file.coded[coding]
    headers = {"ETag": coded.etag, "Cache-Control": cache, "Vary": "Accept-Encoding", **_SHARED}
    if is_known(_header(request, "if-none-match"), coded.etag):
        return Response(status_code=304, headers=headers)
    if coding in CODINGS:
        headers["Content-Encoding"] = coding
    return Response(coded.body, media_type=file.media_type, headers=headers)


def _header(request: Request, name: str) -> str | None:
    """Give a header that may come in several lines, as one list."""
    lines = request.headers.getlist(name)
    return ",".join(lines) if lines else None


def _pinning(release: Release) -> dict[str, object]:
    """Give what a page needs to pin this release: addresses relative to the service's, each with its hash."""
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
