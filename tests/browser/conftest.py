"""One browser and one service for all tests of a process; a visitor for each test.

Opening a window takes longer than a test, so the tests of a module share one. A test that leaves traces in it needs a
window of its own: `@pytest.mark.own_window`, or `pytestmark` for a whole module. Traces are a fake clock, init scripts,
storage and cache. A test that counts requests needs its own window, too.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, ViewportSize

from app.admission import address_limits
from tests.browser.visitor import Visitor
from tests.browser.world import World, chromium, world

VIEWPORT: ViewportSize = {"width": 1280, "height": 720}
PROFILE: dict[str, Any] = {
    "locale": "en-US",
    "timezone_id": "Europe/Moscow",
    "reduced_motion": "reduce",
    "viewport": VIEWPORT,
}


@pytest.fixture(autouse=True)
def all_phones_from_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow any number of phones a minute: all visitors here have the address of this machine."""
    monkeypatch.setattr(address_limits, "PHONES_A_MINUTE", 100_000)


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The service, the simulator and the owners' pages."""
    with world(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A real Chromium."""
    async with chromium() as running:
        yield running


@pytest.fixture(scope="module")
async def window(browser: Browser) -> AsyncIterator[Page]:
    """The window that the tests of a module share."""
    context = await browser.new_context(**PROFILE)
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def clean_page(request: pytest.FixtureRequest, browser: Browser, window: Page) -> AsyncIterator[Page]:
    """A window in its initial state: that of the module, or a new one."""
    if request.node.get_closest_marker("own_window"):
        context = await browser.new_context(**PROFILE)
        yield await context.new_page()
        await context.close()
        return
    yield window
    assert not await window.evaluate("'__pwClock' in globalThis"), (
        "a test with page.clock needs @pytest.mark.own_window"
    )
    await window.unroute_all(behavior="ignoreErrors")
    await window.context.set_offline(False)
    await window.goto("about:blank")
    await window.mouse.move(0, 0)
    await window.set_viewport_size(VIEWPORT)
    await window.emulate_media(media="null", color_scheme="null", forced_colors="null", reduced_motion="reduce")


@pytest.fixture
async def visitor(clean_page: Page, shops: World) -> AsyncIterator[Visitor]:
    """A visitor with an English browser in Moscow. Unexpected lines in their console fail the test."""
    current = Visitor(clean_page, shops)
    yield current
    current.detach()
    assert current.unexpected_logs() == []
