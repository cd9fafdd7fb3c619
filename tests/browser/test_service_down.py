"""A service that is down, wholly or in part: the owner's page goes on as if the widget had never been there."""

import json
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest
from playwright.async_api import Route, expect

from tests.browser.hostile.owners import put
from tests.browser.hostile.watching import Watch, watched
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.own_window

TEL = "tel:+74951234567"
HINT = "Chaser Callback: "
FAILED_REQUEST = "Failed to load resource"


@pytest.fixture
async def watch(visitor: Visitor) -> Watch:
    """The visitor's page, watched."""
    return await watched(visitor.page)


@pytest.fixture(params=["refusing", "silent"])
def dead_service(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a service that is not there: its port is closed, or takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if request.param == "silent":
            listening.listen(16)
        yield f"http://callback.test:{listening.getsockname()[1]}"


async def test_a_loader_that_does_not_come_leaves_the_page_as_it_is(
    visitor: Visitor, watch: Watch, dead_service: str
) -> None:
    visitor.expects = (FAILED_REQUEST,)
    address = put(visitor.shops, "down", service=dead_service)
    await visitor.page.goto(address, wait_until="domcontentloaded")
    await visitor.page.evaluate("void chaserCallback.submit({ client_phone: '1' })")
    await the_page_works(visitor)
    assert await watch.shifts() == []


Answer = Callable[[Route], Awaitable[None]]


def answering(status: int, text: str) -> Answer:
    """Make a handler that answers as something that stands before the service may."""

    async def answer(route: Route) -> None:
        headers = {"access-control-allow-origin": "*", "content-type": "text/html"}
        await route.fulfill(status=status, headers=headers, body=text)

    return answer


async def refuse(route: Route) -> None:
    """No connection."""
    await route.abort("connectionrefused")


@pytest.mark.parametrize(
    "answer",
    [
        refuse,
        answering(502, "<h1>Bad gateway</h1>"),
        answering(503, json.dumps({"code": "starting"})),
        answering(200, "<h1>Log in to the hotel’s network</h1>"),
    ],
    ids=["no-connection", "bad-gateway", "starting", "somebody-elses-page"],
)
async def test_settings_that_do_not_come_are_explained_and_leave_the_page_as_it_is(
    visitor: Visitor, watch: Watch, answer: Answer
) -> None:
    visitor.expects = (FAILED_REQUEST, HINT)
    await visitor.page.route("**/v1/sites/*", answer)
    async with visitor.page.expect_console_message(lambda message: message.text.startswith(HINT)):
        await visitor.page.goto(put(visitor.shops, "down"))
    await the_page_works(visitor)
    assert await watch.shifts() == []
    await expect(visitor.button).to_have_count(0)


async def test_while_the_settings_are_awaited_a_link_stays_a_link(visitor: Visitor) -> None:
    await visitor.page.route("**/v1/sites/*", lambda route: visitor.held.append(route))  # noqa: PLW0108
    async with visitor.page.expect_request("**/v1/sites/*"):
        await visitor.page.goto(put(visitor.shops, "down"))
    await the_page_works(visitor)


async def test_a_link_is_followed_when_the_dialog_does_not_come(visitor: Visitor) -> None:
    visitor.expects = (FAILED_REQUEST, HINT, "Failed to launch 'tel:")
    await visitor.page.route("**/widget/*/*.js", refuse)
    await visitor.page.goto(put(visitor.shops, "down"))
    await visitor.ready()
    await visitor.page.get_by_role("link").click()
    await visitor.page.wait_for_function(f"followed.includes('{TEL}')")


async def test_a_service_that_has_come_back_is_found_at_the_next_press(visitor: Visitor) -> None:
    visitor.expects = (FAILED_REQUEST, HINT)
    await visitor.page.route("**/v1/sites/*", refuse, times=1)
    async with visitor.page.expect_console_message(lambda message: message.text.startswith(HINT)):
        await visitor.page.goto(put(visitor.shops, "down"))
    await visitor.page.evaluate("void chaserCallback.open()")
    await visitor.dialog.wait_for()
    await expect(visitor.button).to_have_count(1)


async def the_page_works(visitor: Visitor) -> None:
    """A button of the page does what it should, and a link goes where it says."""
    button = visitor.page.get_by_role("button", name="Buy")
    await button.click()
    await expect(visitor.page.get_by_role("button", name="In the basket")).to_be_visible()
    await visitor.page.get_by_role("link").click()
    assert await visitor.page.evaluate("followed") == [TEL]
