"""From the floating button to the call: a real browser, the real service, and the simulator."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor
from tests.browser.world import CONSENT, opening_day
from tests.running import until


async def test_a_visitor_types_a_number_presses_the_button_and_is_called(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.number.press_sequentially("89161112233")
    await expect(visitor.number).to_have_value("8 916 111-22-33")
    await visitor.dialog.get_by_role("button", name="Call me").click()
    await expect(visitor.title).to_have_text("We’re calling you")
    await expect(visitor.dialog.get_by_text("8 916 111-22-33")).to_be_visible()
    [call] = visitor.shops.chaser.calls(client_phone="79161112233")
    assert call["params"]["active_page"] == visitor.page.url


async def test_the_number_that_is_shown_is_the_one_that_was_sent(visitor: Visitor) -> None:
    await visitor.pause_requests()
    await visitor.visit()
    await visitor.open()
    async with visitor.page.expect_request("**/v1/callbacks"):
        await visitor.ask("+7 916 123-45-60")
    await visitor.number.fill("+7 916 123-45-61")
    await visitor.continue_requests()
    await expect(visitor.title).to_have_text("We’re calling you")
    await expect(visitor.dialog.get_by_text("+7 916 123-45-60")).to_be_visible()


async def test_the_whole_job_works_by_keyboard_alone(visitor: Visitor) -> None:
    await visitor.visit_site("consent")
    keyboard = visitor.page.keyboard
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    await visitor.dialog.wait_for()
    await keyboard.type("9161112244")
    await keyboard.press("Tab")
    await expect(visitor.dialog.get_by_label("When to call")).to_be_focused()
    await keyboard.press("Tab")
    await keyboard.press("Space")
    await keyboard.press("Enter")
    await expect(visitor.title).to_have_text("We’re calling you")
    await keyboard.press("Enter")
    await expect(visitor.dialog).to_have_count(0)
    await expect(visitor.button).to_be_focused()
    assert len(visitor.shops.chaser.calls(client_phone="79161112244")) == 1


async def test_the_request_contains_page_referrer_site_and_request_id_and_no_more(visitor: Visitor) -> None:
    await visitor.page.goto(visitor.shops.pages.add("<link rel=icon href=data:,><a href=''>on</a>"))
    came_from = visitor.page.url
    target = visitor.shops.page()
    await visitor.page.evaluate("to => document.querySelector('a').href = to", target)
    await visitor.page.click("a")
    await visitor.ready()
    await visitor.open()
    await visitor.ask("8 (916) 111-22-55")
    await expect(visitor.title).to_have_text("We’re calling you")
    [body] = visitor.sent()
    assert re.fullmatch("[0-9a-f]{32}", body.pop("request_id"))
    assert body == {
        "site": "shop",
        "client_phone": "8 916 111-22-55",
        "active_page": target,
        "referrer": came_from,
    }


async def test_consent_is_sent_with_the_version_and_the_text_that_was_shown(visitor: Visitor) -> None:
    await visitor.visit_site("consent")
    await visitor.open()
    box = visitor.dialog.get_by_role("checkbox")
    await expect(box).not_to_be_checked()
    link = visitor.dialog.get_by_role("link", name="Read the consent")
    await expect(link).to_have_attribute("href", CONSENT["url"])
    await box.check()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert visitor.sent()[0]["consent"] == {
        "accepted": True,
        "version": "2026-01",
        "text": "I agree to be phoned.",
    }


async def test_a_site_that_is_closed_says_when_it_calls(visitor: Visitor) -> None:
    await visitor.visit_site("closed")
    await visitor.open()
    day = opening_day()
    expected = f"We’re closed now. We’ll call you {day:%A}, {day:%B} {day.day} at 10:00 AM."
    await expect(visitor.dialog.get_by_text(expected)).to_be_visible()
    await visitor.ask()
    await expect(visitor.title).to_have_text("Request accepted")
    await expect(visitor.dialog.get_by_text(expected)).to_be_visible()


async def test_a_closed_site_without_calls_the_next_day_promises_no_call(visitor: Visitor) -> None:
    await visitor.visit_site("silent")
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("Request accepted")
    await expect(visitor.dialog.get_by_text("We’re closed now.", exact=True)).to_be_visible()


async def test_a_failed_call_is_shown_with_a_number_to_call_and_another_try(visitor: Visitor) -> None:
    visitor.shops.chaser.fault("status", status=404)
    await visitor.visit()
    await visitor.open()
    typed = await visitor.ask()
    await expect(visitor.title).to_have_text("We couldn’t call you")
    link = visitor.dialog.get_by_role("link", name="Call us: +7 495 123-45-67")
    await expect(link).to_have_attribute("href", "tel:+74951234567")
    await visitor.dialog.get_by_role("button", name="Try again").click()
    await expect(visitor.number).to_be_focused()
    assert "".join(filter(str.isdigit, await visitor.number.input_value())) == typed.lstrip("+")


async def test_a_site_without_a_phone_offers_none_when_a_call_failed(visitor: Visitor) -> None:
    visitor.shops.chaser.fault("status", status=404)
    await visitor.visit_site("plain")
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We couldn’t call you")
    await expect(visitor.dialog.get_by_role("link")).to_have_count(0)


async def test_a_lost_answer_of_chaser_is_not_shown_as_a_success(visitor: Visitor) -> None:
    visitor.shops.chaser.fault("close_after")
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We have your request")
    await expect(visitor.dialog.get_by_text("We can’t tell whether the call has started.")).to_be_visible()


@pytest.mark.own_window
async def test_the_status_is_polled_until_it_is_final(visitor: Visitor) -> None:
    await visitor.page.clock.install()
    await visitor.visit()
    await visitor.open()
    async with visitor.page.expect_response("**/v1/callbacks") as answer:
        await visitor.ask()
    callback_id = (await (await answer.value).json())["id"]
    await expect(visitor.title).to_have_text("Request accepted")
    # It is shown as queued for three seconds by the clock of the service.
    public_status = visitor.shops.service.public_status
    await asyncio.to_thread(until, lambda: public_status(callback_id) == "placed")

    def asked() -> int:
        return sum("/v1/callbacks/" in request.url for request in visitor.requests)

    while await visitor.title.text_content() != "We’re calling you":
        await visitor.page.clock.run_for(1000)
    until_final = asked()
    assert until_final > 0
    await visitor.page.clock.run_for(120_000)
    assert asked() == until_final


@pytest.mark.own_window
async def test_the_widget_stores_nothing_and_sends_requests_to_the_service_only(visitor: Visitor) -> None:
    await visitor.visit()
    page = visitor.page.url
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    elsewhere = {request.url for request in visitor.requests if not request.url.startswith(visitor.shops.base)}
    assert elsewhere <= {page, "data:,"}
    assert await visitor.page.context.cookies() == []
    assert await visitor.page.evaluate("localStorage.length + sessionStorage.length") == 0
