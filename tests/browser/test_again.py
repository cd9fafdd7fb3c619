"""A visitor who tries again because no phone rang is called again, and only then.

As in test_interruptions.py, but the test advances the clock of the service together with that of the browser.
"""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser.caller import TEL, Caller, calling_service, new_callers, run_for_all
from tests.browser.world import World
from tests.running import Clock, Service


@pytest.fixture(scope="module")
def clock() -> Clock:
    """The clock of the service."""
    return Clock()


@pytest.fixture(scope="module")
def callback_service(shops: World, tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Service]:
    with calling_service(shops, tmp_path_factory.mktemp("again"), clock) as running:
        yield running


@pytest.fixture
async def callers(browser: Browser, shops: World, callback_service: Service) -> AsyncIterator[list[Caller]]:
    """A Russian and an English visitor, each with a new browser context."""
    async with new_callers(browser, shops, callback_service) as both:
        yield both


async def wait_in_vain(caller: Caller, clock: Clock) -> tuple[str, str]:
    """Send a request, and wait until the countdown is over. Return the digits and the id of the request."""
    await caller.page.clock.install()
    digits = await caller.begin()
    await caller.page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    async with caller.page.expect_response("**/v1/callbacks") as answered:
        await caller.send()
    accepted: dict[str, Any] = await (await answered.value).json()
    await caller.expect_accepted()
    assert len(await caller.calls(digits)) == 1
    while await caller.title.inner_text() != caller.words["late_title"]:
        await caller.page.clock.run_for(5_000)
    clock.advance(seconds=31)
    return digits, accepted["id"]


async def test_a_visitor_who_tries_again_after_the_countdown_is_called_again(
    callers: list[Caller], clock: Clock
) -> None:
    async def scenario(caller: Caller) -> None:
        digits, first_id = await wait_in_vain(caller, clock)
        await expect(caller.phone_links).to_have_attribute("href", TEL)
        await caller.button_named("again").click()
        await expect(caller.number).to_have_value(re.compile(f"{digits[-2:]}$"))
        await caller.send()
        await caller.expect_accepted()
        first, second = caller.proxy.bodies
        assert "again" not in first
        assert second["again"] == first_id
        assert first["request_id"] != second["request_id"]
        assert len(await caller.calls(digits)) == 2

    await run_for_all(scenario, callers)


async def test_a_visitor_who_closes_the_dialog_and_asks_anew_is_not_called_twice(
    callers: list[Caller], clock: Clock
) -> None:
    """They may have been called, so this says nothing about the first call."""

    async def scenario(caller: Caller) -> None:
        digits, _ = await wait_in_vain(caller, clock)
        await caller.page.keyboard.press("Escape")
        await caller.open()
        await caller.send()
        await caller.expect_accepted()
        assert all("again" not in body for body in caller.proxy.bodies)
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


async def test_a_second_request_by_javascript_can_say_that_the_first_one_did_not_ring(
    callers: list[Caller], clock: Clock
) -> None:
    async def scenario(caller: Caller) -> None:
        digits, first_id = await wait_in_vain(caller, clock)
        await caller.page.evaluate(
            "fields => chaserCallback.submit(fields)", {"client_phone": digits, "again": first_id}
        )
        assert len(await caller.calls(digits)) == 2

    await run_for_all(scenario, callers)
