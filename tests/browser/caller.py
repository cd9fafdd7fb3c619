"""A visitor who asks to be called, in one language, through a proxy of their own (between.py)."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.browser.between import Between
from tests.browser.visitor import Visitor
from tests.browser.world import CONSENT, World
from tests.running import Service, phone, service, settings, until

LANGUAGES = ("ru", "en")
PROFILE: dict[str, Any] = {"locale": "en-US", "timezone_id": "Europe/Moscow", "reduced_motion": "reduce"}
TEL = "tel:+74951234567"
_TRUSTED = "shop.localhost"


@contextlib.contextmanager
def calling_service(shops: World, folder: Path) -> Iterator[Service]:
    """Run a service for the owners' pages whose window for duplicates is the usual one."""
    common = {"site_id": 12345, "origins": [shops.pages.origin()], "phone": "74951234567", "on_unknown": "hold"}
    departments = {"sales": {"name": "Sales"}, "help": {"name": "Help"}}
    sites = {
        "shop": common,
        "plain": common | {"phone": None},
        "asking": common | {"consent": CONSENT, "departments": departments},
        "guarded": common | {"origins": [shops.pages.origin(_TRUSTED)], "challenge": "on"},
    }
    with service(settings(folder, shops.chaser.api_url, sites=sites, duplicate_window="2m")) as running:
        yield running


class TrustedWorld(World):
    """Names that browsers trust as they trust HTTPS: only there a page can solve a challenge."""

    @property
    def base(self) -> str:
        """The service's address as pages know it."""
        return self.service.url.replace("127.0.0.1", "callback.localhost")

    def page(self, *given: Any, **named: Any) -> str:
        """Serve a page with the widget and give its address."""
        return super().page(*given, **named).replace("shop.test", _TRUSTED)


class Caller(Visitor):
    """`words` are the widget's, by their keys, once the dialog was opened."""

    def __init__(self, page: Page, shops: World, here: Service, line: Between, lang: str) -> None:
        super().__init__(page, replace(shops, service=Service(line.url, here.http)))
        self.line = line
        self.lang = lang
        self.words: dict[str, str] = {}
        self.expects = ("Failed to load resource", "Chaser Callback: no answer")

    async def begin(self, site: str = "shop") -> str:
        """Open the dialog on a page of a site, type a new number, and give its digits."""
        await self.visit_site(site, f'data-lang="{self.lang}"')
        file = f"{self.shops.base}/widget/any/messages.{self.lang}.js"
        self.words = await self.page.evaluate("async file => (await import(file)).words", file)
        await self.open()
        digits = phone()
        await self.number.press_sequentially(digits)
        return digits

    async def send(self) -> None:
        """Press the button."""
        await self.named("submit").click()

    def named(self, key: str) -> Locator:
        """Find the button with one of the widget's words on it."""
        return self.dialog.get_by_role("button", name=self.words[key], exact=True)

    @property
    def wrong(self) -> Locator:
        """What is said to be wrong."""
        return self.alerts.filter(visible=True)

    @property
    def links_to_call(self) -> Locator:
        """Links that call the owner."""
        return self.dialog.locator("a[href^='tel:']").filter(visible=True)

    async def is_accepted(self) -> None:
        """Wait until the dialog says that the request was accepted, or already that the phone rings."""
        titles = "|".join(self.words[key] for key in ("done_title", "placed_title"))
        await expect(self.title).to_have_text(re.compile(f"^({titles})$"))

    async def reads(self, key: str, wait: tuple[int, str] | None = None) -> None:
        """Wait until one sentence says what is wrong, and for how long: a number and a unit."""
        said = self.words[key]
        if wait:
            code = "([lang, [n, unit]]) => new Intl.RelativeTimeFormat(lang).format(n, unit)"
            said += f" {await self.page.evaluate(code, [self.lang, wait])}."
        await expect(self.wrong).to_have_text([said])

    async def calls(self, digits: str) -> list[dict[str, Any]]:
        """List the calls to a number, once a later request was called: one that is to come would have come."""
        last = phone()
        origin = {"origin": self.shops.pages.origin()}
        answer = await asyncio.to_thread(self.shops.service.ask, origin, client_phone=last)
        assert answer.status_code == 202
        calls = self.shops.chaser.calls
        await asyncio.to_thread(until, lambda: bool(calls(client_phone=last)))
        return calls(client_phone=digits)


async def tell(story: Callable[[Caller], Awaitable[None]], callers: Sequence[Caller]) -> None:
    """Let the same happen to several at the same time."""
    async with asyncio.TaskGroup() as together:
        for caller in callers:
            together.create_task(_told(story, caller), name=caller.lang)


async def _told(story: Callable[[Caller], Awaitable[None]], caller: Caller) -> None:
    await story(caller)
    assert caller.complaints() == []
