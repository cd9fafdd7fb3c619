"""A visitor of an owner's page: their actions, the elements they see, and the requests and logs of their browser."""

from collections.abc import Callable
from typing import Any

from playwright.async_api import Locator, Page, Request, Route

from tests.browser.world import TIMEOUT, World
from tests.running import phone


class Visitor:
    """`expected_logs`: beginnings of console lines that a test expects; any other warning or error fails it."""

    def __init__(self, page: Page, shops: World) -> None:
        self.page = page
        self.shops = shops
        self.logs: list[str] = []
        self.requests: list[Request] = []
        self.paused: list[Route] = []
        self.expected_logs: tuple[str, ...] = ()
        self._listeners: dict[Any, Callable[[Any], None]] = {
            "console": lambda message: self.logs.append(f"{message.type}: {message.text}"),
            "pageerror": lambda error: self.logs.append(f"error: {error}"),
            "request": lambda request: self.requests.append(request),  # noqa: PLW0108
        }
        for event, listener in self._listeners.items():
            page.on(event, listener)
        page.set_default_timeout(TIMEOUT)

    def detach(self) -> None:
        """Stop listening to the page, which the next visitor will use."""
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)

    def unexpected_logs(self) -> list[str]:
        """Return the warnings and errors that the test does not expect."""
        return [line for line in self.logs if line.startswith(("warning", "error")) and not self._is_expected(line)]

    def hints(self) -> list[str]:
        """Return the widget's console messages to the site's owner."""
        return [text for line in self.logs if (text := line.partition(": ")[2]).startswith("Chaser Callback")]

    async def visit(self, tag: str | None = None, body: str = "", headers: dict[str, str] | None = None) -> None:
        """Go to a page with the widget and wait until it is ready."""
        await self.page.goto(self.shops.page(tag, body, headers))
        await self.ready()

    async def ready(self) -> None:
        """Wait until the widget is ready."""
        await self.page.wait_for_function("window.chaserCallback && window.chaserCallback.ready === true")

    async def visit_site(self, site: str, more: str = "") -> None:
        """Go to a page of one of the sites."""
        await self.visit(self.shops.tag(f'data-site="{site}" {more}'))

    async def open(self) -> None:
        """Press the floating button."""
        await self.button.click()
        await self.dialog.wait_for()

    async def ask(self, number: str | None = None) -> str:
        """Type a number, by default a new one, press Enter, and return the typed text."""
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
        """The elements for error messages, also the empty ones."""
        return self.dialog.get_by_role("alert")

    async def pause_requests(self) -> None:
        """Pause requests for a callback until `continue_requests`."""
        await self.page.route("**/v1/callbacks", lambda route: self.paused.append(route))  # noqa: PLW0108

    async def continue_requests(self) -> None:
        """Continue the paused requests."""
        while self.paused:
            await self.paused.pop().continue_()

    def sent(self) -> list[dict[str, Any]]:
        """Return the bodies of the requests for a callback, oldest first."""
        return [
            request.post_data_json
            for request in self.requests
            if request.method == "POST" and request.url.endswith("/v1/callbacks")
        ]

    def _is_expected(self, line: str) -> bool:
        return line.partition(": ")[2].startswith(self.expected_logs or ("\0",))
