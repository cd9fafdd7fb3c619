"""A visitor of an owner's page: what they do, what they see, and what their browser sends and complains about."""

from collections.abc import Callable
from typing import Any

from playwright.async_api import Locator, Page, Request, Route

from tests.browser.world import World
from tests.running import phone


class Visitor:
    """`expects` are beginnings of console lines that belong to the test; any other warning or error fails it."""

    def __init__(self, page: Page, shops: World) -> None:
        self.page = page
        self.shops = shops
        self.said: list[str] = []
        self.requests: list[Request] = []
        self.held: list[Route] = []
        self.expects: tuple[str, ...] = ()
        self._hears: dict[Any, Callable[[Any], None]] = {
            "console": lambda message: self.said.append(f"{message.type}: {message.text}"),
            "pageerror": lambda error: self.said.append(f"error: {error}"),
            "request": lambda request: self.requests.append(request),  # noqa: PLW0108
        }
        for event, hear in self._hears.items():
            page.on(event, hear)
        page.set_default_timeout(10_000)

    def leave(self) -> None:
        """Hear no more of the page: it is another visitor's from now on."""
        for event, hear in self._hears.items():
            self.page.remove_listener(event, hear)

    def complaints(self) -> list[str]:
        """List the warnings and errors nobody expected."""
        return [line for line in self.said if line.startswith(("warning", "error")) and not self._is_expected(line)]

    def hints(self) -> list[str]:
        """List what the widget said to the owner."""
        return [text for line in self.said if (text := line.partition(": ")[2]).startswith("Chaser Callback")]

    async def visit(self, tag: str | None = None, body: str = "", headers: dict[str, str] | None = None) -> None:
        """Go to a page with the widget and wait until it is ready."""
        await self.page.goto(self.shops.page(tag, body, headers))
        await self.ready()

    async def ready(self) -> None:
        """Wait until the widget is."""
        await self.page.wait_for_function("window.chaserCallback && window.chaserCallback.ready === true")

    async def visit_site(self, site: str, more: str = "") -> None:
        """Go to a page of one of the sites."""
        await self.visit(self.shops.tag(f'data-site="{site}" {more}'))

    async def open(self) -> None:
        """Press the floating button."""
        await self.button.click()
        await self.dialog.wait_for()

    async def ask(self, number: str | None = None) -> str:
        """Type a number, by default a new one, press Enter, and give what was typed."""
        typed = number or "+" + phone()
        await self.number.fill(typed)
        await self.number.press("Enter")
        return typed

    @property
    def button(self) -> Locator:
        """The floating button."""
        return self.page.locator("chaser-callback .fab")

    @property
    def dialog(self) -> Locator:
        """The open dialog."""
        return self.page.locator("chaser-callback dialog[open]")

    @property
    def number(self) -> Locator:
        """The field for the number."""
        return self.dialog.get_by_role("textbox")

    @property
    def time(self) -> Locator:
        """The choice of a time."""
        return self.dialog.get_by_role("combobox").first

    @property
    def title(self) -> Locator:
        """The dialog's title."""
        return self.dialog.get_by_role("heading")

    @property
    def alerts(self) -> Locator:
        """What is announced as wrong."""
        return self.dialog.get_by_role("alert")

    async def hold_requests(self) -> None:
        """Keep what is sent for a callback on its way, until let_go."""
        await self.page.route("**/v1/callbacks", lambda route: self.held.append(route))  # noqa: PLW0108

    async def let_go(self) -> None:
        """Let the requests go on that are held."""
        while self.held:
            await self.held.pop().continue_()

    def sent(self) -> list[dict[str, Any]]:
        """Give the bodies of the requests for a callback, oldest first."""
        return [
            request.post_data_json
            for request in self.requests
            if request.method == "POST" and request.url.endswith("/v1/callbacks")
        ]

    def _is_expected(self, line: str) -> bool:
        return line.partition(": ")[2].startswith(self.expects or ("\0",))
