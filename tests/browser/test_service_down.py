"""A service that is completely or partly down: the owner's page works as if the widget were not there."""

import json
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest
from playwright.async_api import Route, expect

from tests.browser.hostile.owners import serve_page
from tests.browser.hostile.watching import Watch, watched
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.own_window

TEL = "tel:+74951234567"
HINT = "Chaser Callback: "
FAILED_REQUEST = "Failed to load resource"


@pytest.fixture
async def watch(visitor: Visitor) -> Watch:
    """The record of the visitor's page."""
    return await watched(visitor.page)


@pytest.fixture(params=["refusing", "silent"])
def dead_service(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a dead service: its port is closed, or accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if request.param == "silent":
            listening.listen(16)
        yield f"http://callback.test:{listening.getsockname()[1]}"


async def test_a_missing_loader_leaves_the_page_unchanged(visitor: Visitor, watch: Watch, dead_service: str) -> None:
    visitor.expected_logs = (FAILED_REQUEST,)
    address = serve_page(visitor.shops, "down", service=dead_service)
    await visitor.page.goto(address, wait_until="domcontentloaded")
    await visitor.page.evaluate("void chaserCallback.submit({ client_phone: '1' })")
    await the_page_works(visitor)
    assert await watch.shifts() == []


Answer = Callable[[Route], Awaitable[None]]


def answering(status: int, text: str) -> Answer:
    """Return a handler that answers as a proxy in front of the service may."""

    async def answer(route: Route) -> None:
        headers = {"access-control-allow-origin": "*", "content-type": "text/html"}
        await route.fulfill(status=status, headers=headers, body=text)

    return answer


async def refuse(route: Route) -> None:
    """Refuse the connection."""
    await route.abort("connectionrefused")


@pytest.mark.parametrize(
    "answer",
    [
        refuse,
        answering(502, "<h1>Bad gateway</h1>"),
        answering(503, json.dumps({"code": "starting"})),
        answering(200, "<h1>Log in to the hotel’s network</h1>"),
    ],
    ids=["no-connection", "bad-gateway", "starting", "captive-portal"],
)
async def test_missing_settings_are_explained_and_leave_the_page_unchanged(
    visitor: Visitor, watch: Watch, answer: Answer
) -> None:
    visitor.expected_logs = (FAILED_REQUEST, HINT)
    await visitor.page.route("**/v1/sites/*", answer)
    async with visitor.page.expect_console_message(lambda message: message.text.startswith(HINT)):
        await visitor.page.goto(serve_page(visitor.shops, "down"))
    await the_page_works(visitor)
    assert await watch.shifts() == []
    await expect(visitor.button).to_have_count(0)


async def test_a_link_stays_a_link_until_the_settings_have_loaded(visitor: Visitor) -> None:
    await visitor.page.route("**/v1/sites/*", lambda route: visitor.paused.append(route))  # noqa: PLW0108
    async with visitor.page.expect_request("**/v1/sites/*"):
        await visitor.page.goto(serve_page(visitor.shops, "down"))
    await the_page_works(visitor)


async def test_a_link_is_followed_when_the_dialog_cannot_be_loaded(visitor: Visitor) -> None:
    visitor.expected_logs = (FAILED_REQUEST, HINT, "Failed to launch 'tel:")
    await visitor.page.route("**/widget/*/*.js", refuse)
    await visitor.page.goto(serve_page(visitor.shops, "down"))
    await visitor.ready()
    await visitor.page.get_by_role("link").click()
    await visitor.page.wait_for_function(f"followed.includes('{TEL}')")


async def test_a_service_that_is_up_again_is_used_at_the_next_attempt(visitor: Visitor) -> None:
    visitor.expected_logs = (FAILED_REQUEST, HINT)
    await visitor.page.route("**/v1/sites/*", refuse, times=1)
    async with visitor.page.expect_console_message(lambda message: message.text.startswith(HINT)):
        await visitor.page.goto(serve_page(visitor.shops, "down"))
    await visitor.page.evaluate("void chaserCallback.open()")
    await visitor.dialog.wait_for()
    await expect(visitor.button).to_have_count(1)


async def the_page_works(visitor: Visitor) -> None:
    """Check that a button of the page works and a link is followed."""
    button = visitor.page.get_by_role("button", name="Buy")
    await button.click()
    await expect(visitor.page.get_by_role("button", name="In the basket")).to_be_visible()
    await visitor.page.get_by_role("link").click()
    assert await visitor.page.evaluate("followed") == [TEL]
