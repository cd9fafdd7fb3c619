"""The choice of a time, the promised time, and the countdown."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.visitor import Visitor
from tests.browser.world import MOSCOW, World
from tests.running import phone, until

pytestmark = pytest.mark.own_window

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
"""Wednesday, noon in Moscow."""
FREE = {
    datetime(2026, 3, 4, 14, 30, tzinfo=MOSCOW): ("today at 2:30 PM", "сегодня в 14:30"),
    datetime(2026, 3, 5, 10, 0, tzinfo=MOSCOW): ("tomorrow at 10:00 AM", "завтра в 10:00"),
    datetime(2026, 3, 6, 10, 0, tzinfo=MOSCOW): ("Friday, March 6 at 10:00 AM", "пятница, 6 марта в 10:00"),
}


@pytest.fixture
async def at_noon(visitor: Visitor) -> Visitor:
    """A visitor with the clock at NOW, of a site with the free times above."""
    await visitor.page.clock.install(time=NOW)
    await override_settings(visitor, free_times=[moment.astimezone(UTC).isoformat() for moment in FREE])
    return visitor


async def override_settings(visitor: Visitor, **overrides: Any) -> None:
    """Override these fields in the site's settings."""

    async def answer(route: Route) -> None:
        actual = visitor.shops.service.http.get(urlsplit(route.request.url).path).json()
        await route.fulfill(json=actual | overrides, headers={"access-control-allow-origin": "*"})

    await visitor.page.route("**/v1/sites/*", answer)


@pytest.mark.parametrize("lang", ["en", "ru"])
async def test_free_times_are_shown_in_the_visitors_language(at_noon: Visitor, lang: str) -> None:
    await at_noon.visit_site("shop", f'data-lang="{lang}"')
    await at_noon.open()
    first, *times = await at_noon.time.locator("option").all_inner_texts()
    assert first == {"en": "As soon as possible", "ru": "Как можно скорее"}[lang]
    assert times == [words[lang == "ru"] for words in FREE.values()]


async def test_a_chosen_time_is_sent_and_promised(visitor: Visitor) -> None:
    await visitor.visit()
    free = visitor.shops.service.http.get("/v1/sites/shop").json()["free_times"]
    await visitor.open()
    await visitor.time.select_option(value=free[10])
    words = await visitor.time.locator("option:checked").inner_text()
    promise = visitor.dialog.get_by_text(f"We’ll call you {words}.", exact=True)
    await expect(promise).to_be_visible()
    await visitor.ask()
    await expect(visitor.title).to_have_text("Request accepted")
    await expect(promise).to_be_visible()
    assert visitor.sent()[0]["planned_time"] == free[10]


async def test_without_a_choice_no_time_is_sent(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert "planned_time" not in visitor.sent()[0]


async def test_a_site_without_free_times_shows_no_choice(visitor: Visitor) -> None:
    await override_settings(visitor, free_times=[])
    await visitor.visit()
    await visitor.open()
    await expect(visitor.dialog.get_by_role("combobox")).to_have_count(0)


async def test_a_time_that_the_service_refuses_is_explained_beside_it(visitor: Visitor) -> None:
    visitor.expected_logs = ("Failed to load resource",)
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    await override_settings(visitor, free_times=[past])
    await visitor.visit()
    await visitor.open()
    await visitor.time.select_option(value=past)
    await visitor.ask()
    await expect(visitor.time).to_have_attribute("aria-invalid", "true")
    await expect(visitor.time).to_be_focused()
    await visitor.time.select_option(index=0)
    await expect(visitor.time).to_have_attribute("aria-invalid", "false")


async def test_the_dialog_shows_the_settings_at_the_time_it_opens(visitor: Visitor) -> None:
    later = (datetime.now(MOSCOW) + timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)
    await visitor.visit()
    await visitor.button.hover()
    await visitor.page.wait_for_function("document.querySelector('chaser-callback').shadowRoot.querySelector('dialog')")
    await override_settings(visitor, open=False, call_expected_at=later.astimezone(UTC).isoformat(), free_times=[])
    await visitor.open()
    await expect(visitor.dialog.get_by_text("We’re closed now. We’ll call you tomorrow at 10:00 AM.")).to_be_visible()


async def test_a_time_that_was_chosen_survives_closing_and_opening(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.time.select_option(index=5)
    chosen = await visitor.time.input_value()
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.dialog).to_have_count(0)
    async with visitor.page.expect_response("**/v1/sites/shop"):
        await visitor.open()
    await expect(visitor.time).to_have_value(chosen)


@pytest.fixture
async def in_omsk(browser: Browser, shops: World) -> AsyncIterator[Visitor]:
    """A visitor three hours ahead of Moscow."""
    context = await browser.new_context(locale="en-US", timezone_id="Asia/Omsk", reduced_motion="reduce")
    yield Visitor(await context.new_page(), shops)
    await context.close()


async def test_a_visitor_in_another_time_zone_sees_their_own_time_marked_as_such(in_omsk: Visitor) -> None:
    await in_omsk.visit_site("closed")
    free = datetime.fromisoformat(in_omsk.shops.service.http.get("/v1/sites/closed").json()["free_times"][0])
    await in_omsk.open()
    await expect(in_omsk.dialog.get_by_label("When to call (your time)")).to_be_visible()
    local = free.astimezone(ZoneInfo("Asia/Omsk"))
    expected = f"{local:%A}, {local:%B} {local.day} at {local.hour % 12 or 12}:{local:%M %p}"
    await expect(in_omsk.time.locator("option").nth(1)).to_have_text(expected)
    await expect(in_omsk.dialog.get_by_text("(your time).")).to_be_visible()


# ---------- the countdown ----------


async def test_a_countdown_runs_while_the_call_is_placed_and_ends_with_advice(visitor: Visitor) -> None:
    await visitor.page.clock.install()
    await visitor.visit()
    await visitor.open()
    typed = await visitor.ask()
    ring = visitor.dialog.locator(".ring")
    await expect(visitor.title).to_have_text("We’re calling you")
    await visitor.page.clock.pause_at(await visitor.page.evaluate("(Date.now() + 1000) / 1000"))
    before = int(await ring.inner_text())
    assert 20 < before <= 30
    await visitor.page.clock.run_for(10_000)
    assert int(await ring.inner_text()) == before - 10
    past = await ring.evaluate("element => element.style.getPropertyValue('--past')")
    assert float(past.removesuffix("turn")) == pytest.approx(1 - int(await ring.inner_text()) / 30, abs=1 / 30)
    await visitor.page.clock.run_for(before * 1000)
    await expect(visitor.title).to_have_text("No call yet?")
    await expect(visitor.dialog.get_by_text("Check the number and try again.")).to_be_visible()
    await expect(visitor.dialog.get_by_role("link", name="Call us: +7 495 123-45-67")).to_be_visible()
    await expect(ring).to_be_empty()
    await visitor.dialog.get_by_role("button", name="Try again").click()
    assert "".join(filter(str.isdigit, await visitor.number.input_value())) == typed.lstrip("+")


async def test_the_seconds_are_not_read_aloud(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    await expect(visitor.dialog.locator(".ring")).to_have_attribute("aria-hidden", "true")
    await expect(visitor.dialog.get_by_role("status").locator(".ring")).to_have_count(0)


async def test_there_is_no_countdown_for_a_later_call(visitor: Visitor) -> None:
    await visitor.visit_site("closed")
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("Request accepted")
    await expect(visitor.dialog.locator(".ring")).to_be_empty()


async def test_there_is_no_countdown_if_the_site_has_closed_and_promises_no_call(visitor: Visitor) -> None:
    """The dialog was opened within working hours; with create_leed no call is made after them."""
    await override_settings(visitor, open=True)
    await visitor.visit_site("silent")
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("Request accepted")
    await expect(visitor.dialog.get_by_text("As soon as possible.", exact=True)).to_be_visible()
    await expect(visitor.dialog.locator(".ring")).to_be_empty()


async def test_with_unknown_working_hours_no_time_is_offered_or_promised(visitor: Visitor) -> None:
    await visitor.visit_site("unknown")
    await visitor.open()
    await expect(visitor.dialog.get_by_text("Leave your number and we’ll call you.")).to_be_visible()
    await expect(visitor.dialog.get_by_role("combobox")).to_have_count(0)
    typed = await visitor.ask()
    await expect(visitor.title).to_have_text("Request accepted")
    await expect(visitor.dialog.get_by_text("As soon as possible.", exact=True)).to_be_visible()
    await expect(visitor.dialog.locator(".ring")).to_be_empty()
    calls = visitor.shops.chaser.calls
    await asyncio.to_thread(until, lambda: bool(calls(client_phone=typed.lstrip("+"))))
    await expect(visitor.title).to_have_text("Request accepted")


async def test_a_site_over_its_budget_promises_no_time(visitor: Visitor) -> None:
    """The request is held: an operator decides when it rings."""
    used_up = visitor.shops.service.ask({"origin": visitor.shops.pages.origin()}, site="full", client_phone=phone())
    assert used_up.json()["call_expected_at"] is not None
    await visitor.visit_site("full")
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("Request accepted")
    await expect(visitor.dialog.get_by_text("As soon as possible.", exact=True)).to_be_visible()
    await expect(visitor.dialog.locator(".ring")).to_be_empty()


async def test_after_the_countdown_was_closed_the_form_is_shown_without_later_status_changes(visitor: Visitor) -> None:
    await visitor.page.clock.install()
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.dialog).to_have_count(0)
    await visitor.page.clock.run_for(60_000)
    await visitor.open()
    await expect(visitor.title).to_have_text("We’ll call you back")
