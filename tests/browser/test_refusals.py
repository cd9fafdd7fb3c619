"""The text shown when a request is not accepted, while the visitor's input stays."""

import json
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Route, expect

from tests.browser.visitor import Visitor
from tests.running import phone

FAILED_REQUEST = "Failed to load resource"
CALL_US = "Call us: +7 495 123-45-67"


async def test_without_a_number_nothing_is_sent(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.ask(" ")
    words = "Enter your phone number"
    await expect(visitor.dialog.get_by_text(words)).to_be_visible()
    await expect(visitor.number).to_have_accessible_description(words)
    await expect(visitor.number).to_have_attribute("aria-invalid", "true")
    await expect(visitor.number).to_be_focused()
    assert visitor.sent() == []


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("+7 916 12", "The number has too few digits"),
        ("123", "Enter a mobile or landline number"),
        ("+7 803 123-45-67", "Enter a mobile or landline number"),
        ("8 800 555-35-35", "Enter a mobile or landline number"),
        ("+44 7400 123456", "We don’t call this country"),
        ("8-916-CALL-NOW", "Enter a mobile or landline number"),
        ("+7 916 123-45-67 ext. 5", "Enter a mobile or landline number"),
        ("+7 916 123-45-67-89", "Enter a mobile or landline number"),
    ],
)
async def test_a_number_the_service_refuses_is_explained_beside_the_field(
    visitor: Visitor, typed: str, words: str
) -> None:
    visitor.expected_logs = (FAILED_REQUEST,)
    await visitor.visit()
    await visitor.open()
    await visitor.number.fill(typed)
    shown = await visitor.number.input_value()
    await visitor.number.press("Enter")
    await expect(visitor.number).to_have_accessible_description(words)
    await expect(visitor.number).to_have_value(shown)
    await expect(visitor.number).to_be_focused()


async def test_the_message_goes_away_when_the_number_is_corrected(visitor: Visitor) -> None:
    visitor.expected_logs = (FAILED_REQUEST,)
    await visitor.visit()
    await visitor.open()
    await visitor.ask("+7 916 12")
    await expect(visitor.number).to_have_attribute("aria-invalid", "true")
    await visitor.number.press("3")
    await expect(visitor.number).to_have_attribute("aria-invalid", "false")
    await expect(visitor.alerts.filter(visible=True)).to_have_count(0)


async def test_without_a_required_consent_nothing_is_sent(visitor: Visitor) -> None:
    await visitor.visit_site("consent")
    await visitor.open()
    await visitor.ask()
    box = visitor.dialog.get_by_role("checkbox")
    await expect(box).to_have_accessible_description("Your consent is needed")
    await expect(box).to_be_focused()
    assert visitor.sent() == []
    await box.check()
    await expect(visitor.alerts.filter(visible=True)).to_have_count(0)


async def test_the_first_of_two_invalid_fields_gets_the_focus(visitor: Visitor) -> None:
    await visitor.visit_site("consent")
    await visitor.open()
    await visitor.ask(" ")
    await expect(visitor.alerts.filter(visible=True)).to_have_count(2)
    await expect(visitor.number).to_be_focused()


async def test_too_many_requests_says_when_to_try_again_and_offers_a_number(visitor: Visitor) -> None:
    visitor.expected_logs = (FAILED_REQUEST,)
    origin = {"origin": visitor.shops.pages.origin()}
    visitor.shops.service.ask(origin, site="busy", client_phone=phone())
    await visitor.visit_site("busy")
    await visitor.open()
    await visitor.ask()
    alert = visitor.alerts.filter(visible=True)
    await expect(alert).to_have_text("Too many requests. Try again in 24 hours.")
    await expect(visitor.dialog.get_by_role("link", name=CALL_US)).to_be_visible()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (503, "overloaded", "Something went wrong on our side. Try again in 1 minute."),
        (500, "internal", "Something went wrong on our side. Try again in 1 minute."),
        (403, "blocked", "That didn’t work. Please contact us another way."),
        (403, "origin_not_allowed", "That didn’t work. Please contact us another way."),
        (413, "too_large", "That didn’t work. Reload the page and try again."),
    ],
)
async def test_a_refusal_is_explained_with_a_way_out(visitor: Visitor, status: int, code: str, words: str) -> None:
    visitor.expected_logs = (FAILED_REQUEST, "Chaser Callback: no answer")
    await visitor.page.route("**/v1/callbacks", answering(status, code))
    await visitor.visit()
    await visitor.open()
    typed = await visitor.ask()
    await expect(visitor.alerts.filter(visible=True)).to_have_text(words)
    await expect(visitor.dialog.get_by_role("link", name=CALL_US)).to_be_visible()
    assert "".join(filter(str.isdigit, await visitor.number.input_value())) == typed.lstrip("+")


async def test_no_connection_is_shown_and_the_next_try_is_the_same_request(visitor: Visitor) -> None:
    visitor.expected_logs = (FAILED_REQUEST, "Chaser Callback: no answer")
    await visitor.page.route("**/v1/callbacks", lambda route: route.abort())
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    await expect(visitor.alerts.filter(visible=True)).to_have_text("No connection. Check your internet and try again.")
    await visitor.page.unroute_all()
    await visitor.number.press("Enter")
    await expect(visitor.title).to_have_text("We’re calling you")
    bodies = visitor.sent()
    assert len(bodies) == 3
    assert bodies[1:] == bodies[:-1]


async def test_another_number_after_a_lost_answer_is_another_request(visitor: Visitor) -> None:
    visitor.expected_logs = (FAILED_REQUEST, "Chaser Callback: no answer")
    await visitor.page.route("**/v1/callbacks", lambda route: route.abort())
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    await expect(visitor.alerts.filter(visible=True)).to_have_count(1)
    await visitor.page.unroute_all()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    first, again, other = visitor.sent()
    assert first["request_id"] == again["request_id"] != other["request_id"]


async def test_after_a_lost_answer_the_request_is_repeated_and_the_visitor_called_once(visitor: Visitor) -> None:
    """The service has stored the request; only its answer to the browser is lost."""
    visitor.expected_logs = (FAILED_REQUEST,)
    origin = {"origin": visitor.shops.pages.origin()}

    async def lose_the_answer(route: Route) -> None:
        assert visitor.shops.service.ask(origin, **route.request.post_data_json).status_code == 202
        await route.abort()

    await visitor.page.route("**/v1/callbacks", at_first(lose_the_answer))
    await visitor.visit()
    await visitor.open()
    typed = await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    first, second = visitor.sent()
    assert first == second
    assert len(visitor.shops.chaser.calls(client_phone=typed.lstrip("+"))) == 1


async def test_after_a_503_the_request_is_repeated_with_the_same_request_id(visitor: Visitor) -> None:
    visitor.expected_logs = (FAILED_REQUEST,)
    await visitor.page.route("**/v1/callbacks", at_first(answering(503, "overloaded")))
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    first, second = visitor.sent()
    assert first == second


Handler = Callable[[Route], Awaitable[None]]


def answering(status: int, code: str) -> Handler:
    """Return a handler that answers instead of the service, with an error."""

    async def answer(route: Route) -> None:
        await route.fulfill(
            status=status,
            headers={"access-control-allow-origin": "*", "content-type": "application/problem+json"},
            body=json.dumps({"status": status, "code": code, "detail": "…"}),
        )

    return answer


def at_first(handler: Handler) -> Handler:
    """Return a handler that applies another one to the first request and lets all others pass."""
    handlers = iter([handler])

    async def handle(route: Route) -> None:
        current = next(handlers, None)
        await (current(route) if current else route.continue_())

    return handle
