"""A request whose visitor leaves, waits, clicks repeatedly, or loses the connection.

As in test_outcomes.py: a real proxy, the real service, calls counted at the simulator, both languages concurrently.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, expect

from tests.browser.between import Behaviour, Gate, silent, silent_after
from tests.browser.caller import TEL, Caller, calling_service, new_callers, run_for_all
from tests.browser.world import World
from tests.running import Service, until


@pytest.fixture(scope="module")
def callback_service(shops: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with calling_service(shops, tmp_path_factory.mktemp("interruptions")) as running:
        yield running


@pytest.fixture
async def callers(browser: Browser, shops: World, callback_service: Service) -> AsyncIterator[list[Caller]]:
    """A Russian and an English visitor, each with a new browser context."""
    async with new_callers(browser, shops, callback_service) as both:
        yield both
    shops.chaser.clear_faults()


@pytest.fixture
def caller(callers: list[Caller]) -> Caller:
    """The Russian visitor."""
    return callers[0]


async def stop_the_clock(caller: Caller) -> None:
    await caller.page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))


@pytest.mark.parametrize(("behaviour", "calls"), [(silent, 0), (silent_after, 1)])
async def test_two_timeouts_of_ten_seconds_are_shown_as_no_connection(
    callers: list[Caller], behaviour: Behaviour, calls: int
) -> None:
    async def scenario(caller: Caller) -> None:
        caller.proxy.plan(behaviour, behaviour)
        await caller.page.clock.install()
        digits = await caller.begin()
        shown = await caller.number.input_value()
        await stop_the_clock(caller)
        async with caller.page.expect_request("**/v1/callbacks"):
            await caller.send()
        async with caller.page.expect_event("requestfailed"):
            await caller.page.clock.run_for(9_999)
            await expect(caller.button_named("sending")).to_be_visible()
            assert len(caller.sent()) == 1
            await caller.page.clock.run_for(1)
        while len(caller.sent()) == 1:
            await caller.page.clock.run_for(100)
        await caller.page.clock.run_for(9_000)
        await expect(caller.button_named("sending")).to_be_visible()
        await caller.page.clock.run_for(1_000)
        await caller.expect_error("network")
        await expect(caller.number).to_have_value(shown)
        await expect(caller.phone_links).to_have_attribute("href", TEL)
        assert len(await caller.calls(digits)) == calls
        await caller.send()
        await caller.expect_accepted()
        assert caller.proxy.bodies == caller.proxy.bodies[:1] * 3
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


async def test_an_answer_after_eight_seconds_is_accepted(callers: list[Caller]) -> None:
    async def scenario(caller: Caller) -> None:
        gate = Gate()
        caller.proxy.plan(gate.response)
        await caller.page.clock.install()
        digits = await caller.begin()
        await stop_the_clock(caller)
        await caller.send()
        await gate.reached.wait()
        await caller.page.clock.run_for(8_000)
        await expect(caller.button_named("sending")).to_be_visible()
        await expect(caller.errors).to_have_count(0)
        gate.open()
        await caller.expect_accepted()
        assert len(caller.proxy.bodies) == 1
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


async def test_a_visitor_who_comes_online_again_sends_the_same_request(callers: list[Caller]) -> None:
    async def scenario(caller: Caller) -> None:
        digits = await caller.begin()
        shown = await caller.number.input_value()
        await caller.page.context.set_offline(True)
        await caller.send()
        await caller.expect_error("network")
        await expect(caller.number).to_have_value(shown)
        await expect(caller.phone_links).to_have_attribute("href", TEL)
        assert caller.proxy.bodies == []
        await caller.page.context.set_offline(False)
        await caller.send()
        await caller.expect_accepted()
        assert caller.sent() == caller.proxy.bodies * 3
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


LEAVING = {
    "close": lambda caller: caller.page.close(),
    "reload": lambda caller: caller.page.reload(),
    "go on": lambda caller: caller.page.goto("about:blank"),
}


@pytest.mark.parametrize("leave", LEAVING)
async def test_a_visitor_who_leaves_while_the_request_is_in_flight_is_called(caller: Caller, leave: str) -> None:
    gate = Gate()
    caller.proxy.plan(gate.request)
    await expect_call_after_leaving(caller, gate, leave)


@pytest.mark.parametrize("leave", LEAVING)
async def test_a_visitor_who_leaves_during_the_preflight_is_called(caller: Caller, leave: str) -> None:
    gate = Gate()
    caller.proxy.plan_preflights(gate.request)
    await expect_call_after_leaving(caller, gate, leave)


async def expect_call_after_leaving(caller: Caller, gate: Gate, leave: str) -> None:
    digits = await caller.begin()
    await caller.send()
    await gate.reached.wait()
    await LEAVING[leave](caller)
    # By the time another page has loaded, the browser has cancelled every request that it does not keep.
    another = await caller.page.context.new_page()
    await another.goto(caller.shops.page())
    gate.open()
    calls = caller.shops.chaser.calls
    await asyncio.to_thread(until, lambda: bool(calls(client_phone=digits)))
    if leave == "reload":
        # After a reload the visitor cannot know that the request arrived, so they send it again.
        await caller.ready()
        await caller.open()
        await caller.number.fill(digits)
        await caller.send()
        await caller.expect_accepted()
        first, second = caller.proxy.bodies
        assert first["request_id"] != second["request_id"]
    assert len(await caller.calls(digits)) == 1


async def _enter(caller: Caller) -> None:
    for _ in range(10):
        await caller.page.keyboard.press("Enter")


PRESSES = {
    "a double click": lambda caller: caller.button_named("submit").dblclick(),
    "ten clicks": lambda caller: caller.button_named("submit").click(click_count=10),
    "Enter ten times": _enter,
}


@pytest.mark.parametrize("presses", PRESSES)
async def test_more_presses_during_a_request_send_nothing_more(callers: list[Caller], presses: str) -> None:
    async def scenario(caller: Caller) -> None:
        gate = Gate()
        caller.proxy.plan(gate.response)
        digits = await caller.begin()
        await PRESSES[presses](caller)
        await gate.reached.wait()
        gate.open()
        await caller.expect_accepted()
        assert len(caller.proxy.bodies) == 1
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


async def test_ten_rapid_presses_of_enter_make_one_call(callers: list[Caller]) -> None:
    async def scenario(caller: Caller) -> None:
        digits = await caller.begin()
        await _enter(caller)
        await asyncio.to_thread(until, lambda: bool(caller.shops.chaser.calls(client_phone=digits)))
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


async def test_the_second_half_of_a_slow_double_click_does_not_close_the_result(caller: Caller) -> None:
    digits = await caller.begin()
    box = await caller.button_named("submit").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await caller.page.mouse.click(x, y)
    await caller.expect_accepted()
    await caller.page.mouse.down(click_count=2)
    await caller.page.mouse.up(click_count=2)
    await caller.expect_accepted()
    assert len(await caller.calls(digits)) == 1


async def test_a_visitor_who_tries_again_after_a_failed_call_is_called(callers: list[Caller]) -> None:
    callers[0].shops.chaser.fault("status", status=404, times=len(callers))

    async def scenario(caller: Caller) -> None:
        digits = await caller.begin()
        shown = await caller.number.input_value()
        await caller.send()
        await expect(caller.title).to_have_text(caller.words["failed_title"])
        await expect(caller.phone_links).to_have_attribute("href", TEL)
        await caller.button_named("again").click()
        await expect(caller.number).to_have_value(shown)
        await caller.send()
        await caller.expect_accepted()
        first, second = caller.proxy.bodies
        assert first["request_id"] != second["request_id"]
        assert len(await caller.calls(digits)) == 1

    await run_for_all(scenario, callers)


async def test_a_visitor_who_tries_again_after_an_unknown_outcome_is_not_called_twice(callers: list[Caller]) -> None:
    callers[0].shops.chaser.fault("close_after", times=len(callers))

    async def scenario(caller: Caller) -> None:
        digits = await caller.begin()
        await caller.send()
        for _ in range(2):
            await expect(caller.title).to_have_text(caller.words["unknown_title"])
            await expect(caller.dialog.get_by_text(caller.words["unknown_text"])).to_be_visible()
            await expect(caller.phone_links).to_have_attribute("href", TEL)
            assert len(await caller.calls(digits)) == 1
            await caller.button_named("again").click()
            await caller.send()
        assert len(caller.proxy.bodies) > 1

    await run_for_all(scenario, callers)
