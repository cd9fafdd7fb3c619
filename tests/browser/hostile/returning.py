"""Navigate to another page and back to one in the back/forward cache."""

import contextlib
import shutil
from collections.abc import AsyncIterator

from playwright.async_api import Browser, async_playwright

from tests.browser.visitor import Visitor
from tests.browser.world import HTML

_RESTORED = "new Promise(shown => addEventListener('pageshow', event => shown(event.persisted), { once: true }))"


@contextlib.asynccontextmanager
async def browser_with_bfcache() -> AsyncIterator[Browser]:
    """Run Chromium with its back/forward cache, which Playwright disables by default."""
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


async def navigate_away(visitor: Visitor) -> None:
    """Follow a link to another page of the shop."""
    await visitor.page.evaluate(f"void (window.restored = {_RESTORED})")
    await visitor.page.goto(visitor.shops.pages.add(HTML + "</head><body>Lilies"))


async def return_to_the_cached_page(visitor: Visitor) -> None:
    """Go back, and fail if the page is loaded again. By default go_back() waits for a load event that never comes."""
    await visitor.page.go_back(wait_until="commit")
    assert await visitor.page.evaluate("window.restored") is True
