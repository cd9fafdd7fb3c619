"""The servers for the browser: the real service with the simulator, and pages of an owner on another origin.

The browser itself resolves the host names below to this machine. So a page is no secure context, as in a shop without
HTTPS, and every request to the service is cross-origin.
"""

import contextlib
import itertools
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import uvicorn
from playwright.async_api import Browser, async_playwright, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from app.simulator.options import DEMO_SITE_ID
from tests.running import Chaser, Service, chaser, service, settings, until

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_RESOLVED = "--host-resolver-rules=MAP shop.test 127.0.0.1, MAP other.test 127.0.0.1, MAP callback.test 127.0.0.1"

TIMEOUT: Final = 30_000
"""Milliseconds until an action or an expectation fails.

Three browsers that solve proofs of work at once took longer than Playwright's 5 s on a slow machine.
"""
expect.set_options(timeout=TIMEOUT)

CONSENT = {"url": "http://shop.test/consent", "version": "2026-01", "text": {"en": "I agree to be phoned."}}
ALWAYS: Final = "mon-sun 00:00-24:00"
"""Working hours: without them, the widget promises no time and shows no countdown."""
MOSCOW = ZoneInfo("Europe/Moscow")

HTML = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">'


class Pages:
    """Pages of owners, each at a new path; their origin is not the service's."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._pages: dict[str, HTMLResponse] = {}
        self._numbers = itertools.count(1)

    def origin(self, host: str = "shop.test") -> str:
        """Return the origin of the pages under one of the host names."""
        return f"http://{host}:{self.port}"

    def add(self, html: str, headers: Mapping[str, str] | None = None, host: str = "shop.test") -> str:
        """Serve a page and return its address."""
        path = f"/page-{next(self._numbers)}"
        self._pages[path] = HTMLResponse(html, headers=dict(headers or {}))
        return self.origin(host) + path

    async def answer(self, request: Request) -> HTMLResponse:
        """Return the page that was added at this path, or a 404."""
        return self._pages.get(request.url.path) or HTMLResponse("", 404)


@dataclass(frozen=True)
class World:
    """The service under the host name that the pages embed, the simulator, and the owners' pages."""

    service: Service
    chaser: Chaser
    pages: Pages

    @property
    def base(self) -> str:
        """The service's address in the pages."""
        return self.service.url.replace("127.0.0.1", "callback.test")

    def tag(self, attributes: str = 'data-site="shop"') -> str:
        """Return the script tag for an owner's page."""
        return f'<script async src="{self.base}/widget.js" {attributes}></script>'

    def page(self, tag: str | None = None, body: str = "", headers: Mapping[str, str] | None = None) -> str:
        """Serve a page with the widget and return its address."""
        return self.pages.add(HTML + (self.tag() if tag is None else tag) + "</head><body>" + body, headers)


def opening_day() -> datetime:
    """Return 10:00 in Moscow three days from now: the closed sites make no call before that."""
    return (datetime.now(MOSCOW) + timedelta(days=3)).replace(hour=10, minute=0, second=0, microsecond=0)


def sites(origin: str) -> dict[str, Any]:
    """Return the settings of the sites: one for each appearance and each kind of answer."""
    hours = {f"{opening_day():%a}".lower(): "09:00-18:00"}
    common = {
        "site_id": int(DEMO_SITE_ID),
        "origins": [origin],
        "phone": "74951234567",
        "on_unknown": "hold",
        "working_hours": ALWAYS,
    }
    return {
        "shop": common,
        "unknown": common | {"working_hours": None},
        "plain": common | {"phone": None},
        "consent": common | {"consent": CONSENT, "theme": {"color": "#0a7", "position": "left"}},
        "closed": common | {"working_hours": hours, "nwt_action": "always_call", "call_stack_start_hour": 10},
        "silent": common | {"working_hours": hours},
        "busy": common | {"quotas": {"per_address": "1/day"}},
        "full": common | {"quotas": {"per_site": "1/day"}},
        "worded": common | {"texts": {"en": {"title": "Talk to a florist", "button": "Call a florist"}}},
        "foreign": common | {"regions": ["DE"]},
        "elsewhere": common | {"origins": ["http://other.test"]},
        "neighbours": common | {"regions": ["RU", "KZ"]},
        "departments": common
        | {
            "consent": CONSENT,
            "departments": {"sales": {"name": "Sales"}, "repairs": {"name": "Repairs", "manager_phone": "74950000001"}},
        },
        "themed": common
        | {
            "theme": {
                "color": "#7a1fa2",
                "scheme": "dark",
                "icon": "M4 4h16v16H4z",
                "position": "left",
                "offset_x": 40,
                "offset_y": 60,
                "corner": 4,
            }
        },
        "hidden": common | {"theme": {"button": False}},
        "leaving": common | {"triggers": {"exit_intent": True}},
        "staying": common | {"triggers": {"seconds": 3}},
        "scrolling": common | {"triggers": {"scroll": 50}},
        "measured": common | {"analytics": {"data_layer": True, "gtag": True, "metrika": 4711}},
    }


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """Run all servers, without the browser, until the end of the block."""
    with pages_of_owners() as pages, chaser() as simulator:
        chosen = settings(folder, simulator.api_url, sites=sites(pages.origin()), duplicate_window="1s")
        with service(chosen) as callback_service:
            yield World(callback_service, simulator, pages)


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run the system's Chromium, or that of Playwright if there is none."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*_ARGUMENTS, _RESOLVED]
        )
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.contextmanager
def pages_of_owners() -> Iterator[Pages]:
    """Serve pages of owners until the end of the block."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        pages = Pages(listening.getsockname()[1])
        app = Starlette(routes=[Route("/{path:path}", pages.answer)])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="pages")
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive())
            yield pages
        finally:
            server.should_exit = True
            thread.join()
