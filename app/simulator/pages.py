"""The pages: / shows calls as they ring, /shop is a demo shop that embeds the widget from another origin."""

from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.simulator.core import Simulator

_FILES = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def shop_policy(service_url: str) -> str:
    """Return the shop's Content-Security-Policy: a strict one that allows only the service's origin."""
    parts = urlsplit(service_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return (
        f"default-src 'none'; script-src 'self' {origin}; connect-src {origin}; worker-src {origin} blob:; "
        f"style-src 'self' {origin}; img-src 'self' {origin} data:; font-src {origin}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page_routes(simulator: Simulator) -> list[Route]:
    """Return the routes of the pages, their styles and scripts."""
    service = simulator.options.service_url.rstrip("/")
    shop = (_FILES / "shop.html").read_text(encoding="utf-8").replace("{service}", escape(service))
    page = (_FILES / "page.html").read_text(encoding="utf-8")
    assets = [path for path in sorted(_FILES.iterdir()) if path.suffix in (".css", ".js", ".svg")]
    return [
        Route("/", _serve(page, ".html", PAGE_POLICY)),
        Route("/shop", _serve(shop, ".html", shop_policy(service))),
        *(Route(f"/assets/{path.name}", _serve(path.read_text(encoding="utf-8"), path.suffix)) for path in assets),
    ]


def _serve(text: str, suffix: str, policy: str | None = None) -> Callable[[Request], Awaitable[Response]]:
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-cache"}
    if policy:
        headers["content-security-policy"] = policy

    async def endpoint(_: Request) -> Response:
        return Response(text, media_type=_TYPES[suffix], headers=headers)

    return endpoint
