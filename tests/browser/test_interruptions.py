"""What becomes of a request when somebody leaves, waits, presses again and again, or loses the connection.

As in test_outcomes.py: a real proxy, the real service, calls counted at the simulator, both languages at once.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, expect

from tests.browser.between import Between, Hold, Treatment, silent, silent_after
from tests.browser.caller import LANGUAGES, PROFILE, TEL, Caller, calling_service, tell
from tests.browser.world import World
from tests.running import Service, until


@pytest.fixture(scope="module")
def here(shops: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with calling_service(shops, tmp_path_factory.mktemp("interruptions")) as running:
        yield running


@pytest.fixture
async def callers(browser: Browser, shops: World, here: Service) -> AsyncIterator[list[Caller]]:
    """A Russian and an English visitor, whose browsers have met nothing yet."""
    async with AsyncExitStack() as stack:
        both = []
        for lang in LANGUAGES:
            line = await stack.enter_async_context(Between(here.url))
            context = await browser.new_context(**PROFILE)
            stack.push_async_callback(context.close)
            both.append(Caller(await context.new_page(), shops, here, line, lang))
        yield both
    shops.chaser.well_again()


@pytest.fixture
def caller(callers: list[Caller]) -> Caller:
    """One of them."""
    return callers[0]


async def stop_the_clock(caller: Caller) -> None:
    await caller.page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))


@pytest.mark.parametrize(("treatment", "rings"), [(silent, 0), (silent_after, 1)])
async def test_who_gets_no_answer_for_ten_seconds_and_then_again_is_told(
    callers: list[Caller], treatment: Treatment, rings: int
) -> None:
    async def story(caller: Caller) -> None:
        caller.line.plan(treatment, treatment)
        await caller.page.clock.install()
        digits = await caller.begin()
        shown = await caller.number.input_value()
        await stop_the_clock(caller)
        async with caller.page.expect_request("**/v1/callbacks"):
            await caller.send()
        async with caller.page.expect_event("requestfailed"):
            await caller.page.clock.run_for(9_999)
            await expect(caller.named("sending")).to_be_visible()
            assert len(caller.sent()) == 1
            await caller.page.clock.run_for(1)
        while len(caller.sent()) == 1:
            await caller.page.clock.run_for(100)
        await caller.page.clock.run_for(9_000)
        await expect(caller.named("sending")).to_be_visible()
        await caller.page.clock.run_for(1_000)
        await caller.reads("network")
        await expect(caller.number).to_have_value(shown)
        await expect(caller.links_to_call).to_have_attribute("href", TEL)
        assert len(await caller.calls(digits)) == rings
        await caller.send()
        await caller.is_accepted()
        assert caller.line.bodies == caller.line.bodies[:1] * 3
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


async def test_an_answer_that_takes_eight_seconds_is_waited_for(callers: list[Caller]) -> None:
    async def story(caller: Caller) -> None:
        hold = Hold()
        caller.line.plan(hold.answer)
        await caller.page.clock.install()
        digits = await caller.begin()
        await stop_the_clock(caller)
        await caller.send()
        await hold.reached.wait()
        await caller.page.clock.run_for(8_000)
        await expect(caller.named("sending")).to_be_visible()
        await expect(caller.wrong).to_have_count(0)
        hold.let_go()
        await caller.is_accepted()
        assert len(caller.line.bodies) == 1
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


async def test_who_comes_online_again_sends_the_same_request(callers: list[Caller]) -> None:
    async def story(caller: Caller) -> None:
        digits = await caller.begin()
        shown = await caller.number.input_value()
        await caller.page.context.set_offline(True)
        await caller.send()
        await caller.reads("network")
        await expect(caller.number).to_have_value(shown)
        await expect(caller.links_to_call).to_have_attribute("href", TEL)
        assert caller.line.bodies == []
        await caller.page.context.set_offline(False)
        await caller.send()
        await caller.is_accepted()
        assert caller.sent() == caller.line.bodies * 3
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


LEAVING = {
    "close": lambda caller: caller.page.close(),
    "reload": lambda caller: caller.page.reload(),
    "go on": lambda caller: caller.page.goto("about:blank"),
}


@pytest.mark.parametrize("leave", LEAVING)
async def test_who_leaves_while_the_request_is_on_its_way_is_called(caller: Caller, leave: str) -> None:
    hold = Hold()
    caller.line.plan(hold.request)
    await stays_called(caller, hold, leave)


@pytest.mark.parametrize("leave", LEAVING)
async def test_who_leaves_while_the_browser_asks_for_permission_is_called(caller: Caller, leave: str) -> None:
    hold = Hold()
    caller.line.plan_preflights(hold.request)
    await stays_called(caller, hold, leave)


async def stays_called(caller: Caller, hold: Hold, leave: str) -> None:
    digits = await caller.begin()
    await caller.send()
    await hold.reached.wait()
    await LEAVING[leave](caller)
    # What a browser drops with a page is dropped by the time another page is there.
    another = await caller.page.context.new_page()
    await another.goto(caller.shops.page())
    hold.let_go()
    calls = caller.shops.chaser.calls
    await asyncio.to_thread(until, lambda: bool(calls(client_phone=digits)))
    if leave == "reload":
        # Nothing tells them that the request got through.
        await caller.ready()
        await caller.open()
        await caller.number.fill(digits)
        await caller.send()
        await caller.is_accepted()
        first, second = caller.line.bodies
        assert first["request_id"] != second["request_id"]
    assert len(await caller.calls(digits)) == 1


async def _enter(caller: Caller) -> None:
    for _ in range(10):
        await caller.page.keyboard.press("Enter")


PRESSES = {
    "a double click": lambda caller: caller.named("submit").dblclick(),
    "ten clicks": lambda caller: caller.named("submit").click(click_count=10),
    "Enter ten times": _enter,
}


@pytest.mark.parametrize("presses", PRESSES)
async def test_pressing_while_it_is_sent_sends_nothing_more(callers: list[Caller], presses: str) -> None:
    async def story(caller: Caller) -> None:
        hold = Hold()
        caller.line.plan(hold.answer)
        digits = await caller.begin()
        await PRESSES[presses](caller)
        await hold.reached.wait()
        hold.let_go()
        await caller.is_accepted()
        assert len(caller.line.bodies) == 1
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


async def test_ten_presses_of_enter_as_fast_as_they_go_make_one_call(callers: list[Caller]) -> None:
    async def story(caller: Caller) -> None:
        digits = await caller.begin()
        await _enter(caller)
        await asyncio.to_thread(until, lambda: bool(caller.shops.chaser.calls(client_phone=digits)))
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


async def test_the_second_half_of_a_slow_double_click_does_not_close_what_the_first_one_brought(caller: Caller) -> None:
    digits = await caller.begin()
    box = await caller.named("submit").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await caller.page.mouse.click(x, y)
    await caller.is_accepted()
    await caller.page.mouse.down(click_count=2)
    await caller.page.mouse.up(click_count=2)
    await caller.is_accepted()
    assert len(await caller.calls(digits)) == 1


async def test_who_tries_again_after_a_call_that_failed_is_called(callers: list[Caller]) -> None:
    callers[0].shops.chaser.fault("status", status=404, times=len(callers))

    async def story(caller: Caller) -> None:
        digits = await caller.begin()
        shown = await caller.number.input_value()
        await caller.send()
        await expect(caller.title).to_have_text(caller.words["failed_title"])
        await expect(caller.links_to_call).to_have_attribute("href", TEL)
        await caller.named("again").click()
        await expect(caller.number).to_have_value(shown)
        await caller.send()
        await caller.is_accepted()
        first, second = caller.line.bodies
        assert first["request_id"] != second["request_id"]
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)


async def test_who_tries_again_after_a_call_nobody_is_sure_of_is_not_called_twice(callers: list[Caller]) -> None:
    callers[0].shops.chaser.fault("close_after", times=len(callers))

    async def story(caller: Caller) -> None:
        digits = await caller.begin()
        await caller.send()
        for _ in range(2):
            await expect(caller.title).to_have_text(caller.words["unknown_title"])
            await expect(caller.dialog.get_by_text(caller.words["unknown_text"])).to_be_visible()
            await expect(caller.links_to_call).to_have_attribute("href", TEL)
            assert len(await caller.calls(digits)) == 1
            await caller.named("again").click()
            await caller.send()
        assert len(caller.line.bodies) > 1

    await tell(story, callers)


async def test_who_tries_again_because_no_phone_rang_is_not_called_twice(callers: list[Caller]) -> None:
    async def story(caller: Caller) -> None:
        await caller.page.clock.install()
        digits = await caller.begin()
        shown = await caller.number.input_value()
        await stop_the_clock(caller)
        await caller.send()
        await caller.is_accepted()
        while await caller.title.inner_text() != caller.words["late_title"]:
            await caller.page.clock.run_for(5_000)
        await expect(caller.links_to_call).to_have_attribute("href", TEL)
        await caller.named("again").click()
        await expect(caller.number).to_have_value(shown)
        await caller.send()
        await caller.is_accepted()
        first, second = caller.line.bodies
        assert first["request_id"] != second["request_id"]
        assert len(await caller.calls(digits)) == 1

    await tell(story, callers)
