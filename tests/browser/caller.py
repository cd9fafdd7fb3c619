"""A visitor with one language and a fault proxy of their own (between.py)."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from app.main import utc_now
from tests.browser.between import FaultProxy
from tests.browser.visitor import Visitor
from tests.browser.world import ALWAYS, CONSENT, World
from tests.running import Service, phone, service, settings, until

LANGUAGES = ("ru", "en")
PROFILE: dict[str, Any] = {"locale": "en-US", "timezone_id": "Europe/Moscow", "reduced_motion": "reduce"}
TEL = "tel:+74951234567"
_SECURE_HOST = "shop.localhost"


@contextlib.contextmanager
def calling_service(shops: World, folder: Path, clock: Callable[[], datetime] = utc_now) -> Iterator[Service]:
    """Run a service for the owners' pages, in which requests within two minutes are duplicates."""
    common = {
        "site_id": 12345,
        "origins": [shops.pages.origin()],
        "phone": "74951234567",
        "on_unknown": "hold",
        "working_hours": ALWAYS,
    }
    departments = {"sales": {"name": "Sales"}, "help": {"name": "Help"}}
    sites = {
        "shop": common,
        "plain": common | {"phone": None},
        "asking": common | {"consent": CONSENT, "departments": departments},
        "guarded": common | {"origins": [shops.pages.origin(_SECURE_HOST)], "challenge": "on"},
    }
    with service(settings(folder, shops.chaser.api_url, sites=sites, duplicate_window="2m"), clock=clock) as running:
        yield running


class TrustedWorld(World):
    """A world on localhost, a secure context as with HTTPS: only there can a page solve a challenge."""

    @property
    def base(self) -> str:
        """The service's address in the pages."""
        return self.service.url.replace("127.0.0.1", "callback.localhost")

    def page(self, *args: Any, **kwargs: Any) -> str:
        """Serve a page with the widget and return its address."""
        return super().page(*args, **kwargs).replace("shop.test", _SECURE_HOST)


class Caller(Visitor):
    """`words`: the widget's texts by their keys, once the dialog has been opened."""

    def __init__(self, page: Page, shops: World, callback_service: Service, proxy: FaultProxy, lang: str) -> None:
        super().__init__(page, replace(shops, service=Service(proxy.url, callback_service.http)))
        self.proxy = proxy
        self.lang = lang
        self.words: dict[str, str] = {}
        self.expected_logs = ("Failed to load resource", "Chaser Callback: no answer")

    async def begin(self, site: str = "shop") -> str:
        """Open the dialog on a page of a site, type a new number, and return its digits."""
        await self.visit_site(site, f'data-lang="{self.lang}"')
        file = f"{self.shops.base}/widget/any/messages.{self.lang}.js"
        self.words = await self.page.evaluate("async file => (await import(file)).words", file)
        await self.open()
        digits = phone()
        await self.number.press_sequentially(digits)
        return digits

    async def send(self) -> None:
        """Press the submit button."""
        await self.button_named("submit").click()

    def button_named(self, key: str) -> Locator:
        """Return the button with this text of the widget."""
        return self.dialog.get_by_role("button", name=self.words[key], exact=True)

    @property
    def errors(self) -> Locator:
        """The error messages that are visible."""
        return self.alerts.filter(visible=True)

    @property
    def phone_links(self) -> Locator:
        """The visible links to the owner's phone number."""
        return self.dialog.locator("a[href^='tel:']").filter(visible=True)

    async def expect_accepted(self) -> None:
        """Wait until the dialog shows that the request was accepted, or that the call was placed."""
        titles = "|".join(self.words[key] for key in ("done_title", "placed_title"))
        await expect(self.title).to_have_text(re.compile(f"^({titles})$"))

    async def expect_error(self, key: str, wait: tuple[int, str] | None = None) -> None:
        """Wait until exactly one error is shown. `wait`: its time until the next try, as a number and a unit."""
        text = self.words[key]
        if wait:
            code = "([lang, [n, unit]]) => new Intl.RelativeTimeFormat(lang).format(n, unit)"
            text += f" {await self.page.evaluate(code, [self.lang, wait])}."
        await expect(self.errors).to_have_text([text])

    async def calls(self, digits: str) -> list[dict[str, Any]]:
        """Return the calls to a number, after a later request has been called: a call still due would come first."""
        last = phone()
        origin = {"origin": self.shops.pages.origin()}
        answer = await asyncio.to_thread(self.shops.service.ask, origin, client_phone=last)
        assert answer.status_code == 202
        calls = self.shops.chaser.calls
        await asyncio.to_thread(until, lambda: bool(calls(client_phone=last)))
        return calls(client_phone=digits)


@contextlib.asynccontextmanager
async def new_callers(browser: Browser, shops: World, callback_service: Service) -> AsyncIterator[list[Caller]]:
    """A Russian and an English visitor, each with a new browser context."""
    async with contextlib.AsyncExitStack() as stack:
        both = []
        for lang in LANGUAGES:
            proxy = await stack.enter_async_context(FaultProxy(callback_service.url))
            context = await browser.new_context(**PROFILE)
            stack.push_async_callback(context.close)
            both.append(Caller(await context.new_page(), shops, callback_service, proxy, lang))
        yield both


async def run_for_all(scenario: Callable[[Caller], Awaitable[None]], callers: Sequence[Caller]) -> None:
    """Run a scenario for several visitors concurrently."""
    async with asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(_run(scenario, caller), name=caller.lang)


async def _run(scenario: Callable[[Caller], Awaitable[None]], caller: Caller) -> None:
    await scenario(caller)
    assert caller.unexpected_logs() == []
