"""Going to another page and back to one that the browser has kept as it was (back/forward cache)."""

import contextlib
import shutil
from collections.abc import AsyncIterator

from playwright.async_api import Browser, async_playwright

from tests.browser.visitor import Visitor
from tests.browser.world import HTML

_KEPT = "new Promise(shown => addEventListener('pageshow', event => shown(event.persisted), { once: true }))"


@contextlib.asynccontextmanager
async def browser_that_keeps_pages() -> AsyncIterator[Browser]:
    """Run a Chromium without the switch by which Playwright turns the back/forward cache off."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP *.test 127.0.0.1"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        try:
            yield browser
        finally:
            await browser.close()


async def go_away(visitor: Visitor) -> None:
    """Follow a link to another page of the shop."""
    await visitor.page.evaluate(f"void (window.kept = {_KEPT})")
    await visitor.page.goto(visitor.shops.pages.add(HTML + "</head><body>Lilies"))


async def return_to_the_kept_page(visitor: Visitor) -> None:
    """Press Back; fails if the page is loaded again. Playwright's go_back() waits for a load that never comes."""
    await visitor.page.go_back(wait_until="commit")
    assert await visitor.page.evaluate("window.kept") is True
