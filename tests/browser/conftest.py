"""One browser and one service for all tests; a visitor of its own for each."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser

from tests.browser.visitor import Visitor
from tests.browser.world import World, chromium, world


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


@pytest.fixture
async def visitor(browser: Browser, shops: World) -> AsyncIterator[Visitor]:
    """Somebody with an English browser in Moscow, whose console stays clean unless the test expects otherwise."""
    context = await browser.new_context(
        locale="en-US", timezone_id="Europe/Moscow", reduced_motion="reduce", viewport={"width": 1280, "height": 720}
    )
    someone = Visitor(await context.new_page(), shops)
    yield someone
    await context.close()
    assert someone.complaints() == []
