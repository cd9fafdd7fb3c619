"""The costs of the widget before the first click, and the loading of its parts after that."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from playwright.async_api import expect

from tests.browser.hostile.owners import serve_page
from tests.browser.hostile.watching import NOTHING_STORED, Watch, watched
from tests.browser.visitor import Visitor
from tests.browser.world import World
from tests.running import phone

pytestmark = pytest.mark.own_window

HINT = "Chaser Callback: "
FAILED_REQUEST = "Failed to load resource"
SECONDS = re.compile(r"max-age=(\d+)")


@pytest.fixture
async def watch(visitor: Visitor) -> Watch:
    """The record of the visitor's page."""
    return await watched(visitor.page)


async def test_before_the_first_click_two_requests_go_to_the_service_and_none_elsewhere(
    visitor: Visitor, watch: Watch
) -> None:
    await visitor.page.clock.install()
    await visitor.page.goto(serve_page(visitor.shops, "load-quiet"))
    await visitor.ready()
    await wander_about(visitor)
    assert watch.requests_to(visitor.shops.base) == [("GET", "/widget.js"), ("GET", "/v1/sites/shop")]
    assert watch.requests_elsewhere(visitor.shops.base) == [visitor.page.url]


async def test_before_the_first_click_nothing_is_stored(visitor: Visitor, watch: Watch) -> None:
    await visitor.page.clock.install()
    await visitor.page.goto(serve_page(visitor.shops, "load-quiet"))
    await visitor.ready()
    await wander_about(visitor)
    assert await watch.stored() == NOTHING_STORED


async def test_nothing_is_stored_after_the_whole_job_either(visitor: Visitor, watch: Watch) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "load-quiet"))
    await visitor.open()
    async with visitor.page.expect_response("**/v1/callbacks") as answer:
        await visitor.ask()
    assert (await answer.value).status == 202
    assert await watch.stored() == NOTHING_STORED


async def test_the_button_and_the_opening_dialog_shift_nothing(visitor: Visitor, watch: Watch) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "load-quiet"))
    await visitor.button.wait_for()
    assert await watch.shifts() == []
    await visitor.open()
    await expect(visitor.number).to_be_focused()
    assert await watch.shifts() == []


async def test_no_task_is_long(visitor: Visitor, watch: Watch) -> None:
    """On a busy machine a task may be long by chance, so it has to be long in each of five visits.

    The tag is injected last: the browser does not report the task that created the observer.
    """
    address = serve_page(visitor.shops, "layout-block")
    tasks = []
    for _ in range(5):
        await visitor.page.goto(address)
        await visitor.page.evaluate("inject()")
        await visitor.button.wait_for()
        tasks.append(await watch.long_tasks())
        if not tasks[-1]:
            break
    assert tasks[-1] == [], tasks


async def test_a_page_with_all_these_costs_is_detected(visitor: Visitor, watch: Watch) -> None:
    """Check that the tests above can fail."""
    visitor.expected_logs = (FAILED_REQUEST,)
    async with visitor.page.expect_request("**/livez"):
        await visitor.page.goto(serve_page(visitor.shops, "load-restless"))
    [shift] = await watch.shifts()
    assert shift > 0
    assert max(await watch.long_tasks()) > 150
    assert ("GET", "/livez") in watch.requests_to(visitor.shops.base)
    elsewhere = watch.requests_elsewhere(visitor.shops.base)
    assert elsewhere[0] == visitor.page.url
    assert [url for url in elsewhere if url.startswith(visitor.shops.pages.origin("other.test"))]
    stored = await watch.stored()
    assert [cookie["name"] for cookie in stored.pop("cookies")] == ["visitor"]
    assert stored == {"local": {"visitor": "1"}, "session": {"visitor": "1"}, "databases": ["visitors"]}


@pytest.mark.parametrize("layout", ["block", "grid", "flex"])
async def test_the_button_does_not_move_what_is_on_the_page(visitor: Visitor, layout: str) -> None:
    await visitor.page.goto(serve_page(visitor.shops, f"layout-{layout}"))
    body = visitor.page.locator("body")
    before = await body.bounding_box()
    await visitor.page.evaluate("inject()")
    await visitor.ready()
    assert await body.bounding_box() == before


async def hover(visitor: Visitor) -> None:
    await visitor.button.hover()


async def focus(visitor: Visitor) -> None:
    await visitor.page.keyboard.press("Tab")
    await expect(visitor.button).to_be_focused()


async def touch(visitor: Visitor) -> None:
    """Touch the button with a finger, without lifting it: no click yet."""
    box = await visitor.button.bounding_box()
    assert box is not None
    session = await visitor.page.context.new_cdp_session(visitor.page)
    await session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    finger = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    await session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [finger]})


async def call_open(visitor: Visitor) -> None:
    await visitor.page.evaluate("void chaserCallback.open()")


@pytest.mark.parametrize("intent", [hover, focus, touch, call_open])
async def test_the_dialog_is_loaded_once_on_the_first_sign_of_intent(
    visitor: Visitor, watch: Watch, intent: Callable[[Visitor], Awaitable[None]]
) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "load-quiet"))
    await visitor.ready()
    await visitor.page.mouse.move(5, 5)
    assert modules(visitor, watch) == []
    async with visitor.page.expect_request("**/widget/*/dialog.js"):
        await intent(visitor)
    await call_open(visitor)
    await visitor.dialog.wait_for()
    for _ in range(2):
        await visitor.page.evaluate("chaserCallback.close()")
        await expect(visitor.dialog).to_have_count(0)
        await visitor.button.focus()
        await visitor.open()
    async with visitor.page.expect_response("**/v1/callbacks"):
        await visitor.ask()
    loaded = modules(visitor, watch)
    assert len(loaded) == len(set(loaded)) >= 1


async def test_the_next_page_takes_the_parts_from_the_browsers_own_cache(visitor: Visitor, watch: Watch) -> None:
    for _ in range(2):
        watch.requests.clear()
        watch.from_cache.clear()
        await visitor.page.goto(serve_page(visitor.shops, "load-quiet"))
        await visitor.open()
    loaded = [visitor.shops.base + path for path in modules(visitor, watch)]
    assert loaded
    assert {visitor.shops.base + "/widget.js", *loaded} <= set(watch.from_cache)


async def test_the_loader_is_cached_for_minutes_and_the_parts_for_a_year(visitor: Visitor) -> None:
    http = visitor.shops.service.http
    async with visitor.page.expect_response("**/widget/*/dialog.js") as dialog:
        await visitor.page.goto(serve_page(visitor.shops, "load-quiet"))
        await visitor.open()
    part = http.get((await dialog.value).url.removeprefix(visitor.shops.base))
    assert seconds(part) == 365 * 24 * 3600
    assert "immutable" in part.headers["cache-control"]
    loader = http.get("/widget.js")
    assert 60 <= seconds(loader) <= 3600
    assert "immutable" not in loader.headers["cache-control"]
    for answer in (loader, part):
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("packing", ["br", "gzip", "identity"])
def test_a_loader_that_has_not_changed_is_not_sent_again(shops: World, packing: str) -> None:
    """In every content coding: a shared cache must not mix up the codings."""
    http = shops.service.http
    packed = http.get("/widget.js", headers={"accept-encoding": packing})
    assert packed.headers.get("content-encoding", "identity") == packing
    assert "accept-encoding" in packed.headers["vary"].lower()
    assert packed.text == http.get("/widget.js", headers={"accept-encoding": "identity"}).text
    known = {"accept-encoding": packing, "if-none-match": packed.headers["etag"]}
    unchanged = http.get("/widget.js", headers=known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == packed.headers["etag"]
    assert unchanged.headers["cache-control"] == packed.headers["cache-control"]
    other = http.get("/widget.js", headers=known | {"if-none-match": '"another"'})
    assert other.status_code == 200


async def test_a_tag_with_the_loaders_checksum_works_and_with_another_does_not(visitor: Visitor) -> None:
    loader = visitor.shops.service.http.get("/widget.js").content
    right, wrong = (base64.b64encode(hashlib.sha384(text).digest()).decode() for text in (loader, b"another loader"))
    tag = 'data-site="shop" crossorigin="anonymous" integrity="sha384-{}"'
    await visitor.visit(visitor.shops.tag(tag.format(right)))
    await visitor.open()
    visitor.expected_logs = ("Failed to find a valid digest",)
    async with visitor.page.expect_console_message(lambda message: message.text.startswith(visitor.expected_logs)):
        await visitor.page.goto(visitor.shops.page(visitor.shops.tag(tag.format(wrong))))
    await expect(visitor.button).to_have_count(0)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("data-sites", "data-site"),
        ("data-site_id", "data-site"),
        ("data-SiteName", "data-site"),
        ("data-language", "data-lang"),
        ("data-langs", "data-lang"),
    ],
)
async def test_a_misspelt_attribute_is_reported_once_with_the_right_name_and_does_no_harm(
    visitor: Visitor, written: str, expected: str
) -> None:
    visitor.expected_logs = (HINT,)
    await visitor.visit(visitor.shops.tag(f'data-site="shop" data-lang="en" {written}="shop"'))
    await expect(visitor.button).to_be_visible()
    [hint] = visitor.hints()
    assert written.lower() in hint
    assert re.search(rf"{expected}\b(?!-)", hint.replace(written.lower(), ""))


async def test_correct_attributes_cause_no_warning(visitor: Visitor) -> None:
    await visitor.visit(visitor.shops.tag('DATA-SITE="shop" data-Lang="en" data-no-optimize="1" data-cfasync="false"'))
    assert visitor.hints() == []


async def test_all_calls_of_the_stub_are_executed_once_the_loader_has_loaded(visitor: Visitor) -> None:
    visitor.expected_logs = (FAILED_REQUEST,)
    number = phone()
    await visitor.page.goto(serve_page(visitor.shops, "load-stub"))
    await visitor.page.evaluate(f"""{{
        chaserCallback.open();
        window.good = chaserCallback.submit({{ client_phone: "{number}" }});
        window.bad = chaserCallback.submit({{ client_phone: "112" }}).catch(refusal => refusal.code);
        null;
    }}""")
    assert await visitor.page.evaluate("heard") == []
    await visitor.page.evaluate("inject()")
    await visitor.dialog.wait_for()
    assert (await visitor.page.evaluate("good"))["status"] == "queued"
    assert await visitor.page.evaluate("bad") == "invalid"
    heard = await visitor.page.evaluate("heard")
    assert sorted(heard) == ["accepted", "open", "ready", "refused"]
    assert heard[0] == "ready"
    assert len(visitor.shops.chaser.calls(client_phone=number)) <= 1
    assert len(visitor.sent()) == 2


async def test_open_and_close_on_the_stub_open_nothing(visitor: Visitor) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "load-stub"))
    async with visitor.page.expect_response("**/widget/*/dialog.js"):
        await visitor.page.evaluate("{ chaserCallback.open(); chaserCallback.close(); inject() }")
    await visitor.ready()
    await visitor.page.wait_for_load_state("networkidle")
    await expect(visitor.dialog).to_have_count(0)
    assert await visitor.page.evaluate("heard") == ["ready"]


async def wander_about(visitor: Visitor) -> None:
    """Use the page for ten minutes: scroll, move the pointer, press keys, switch to another tab and back."""
    mouse = visitor.page.mouse
    for x, y in ((5, 5), (640, 300), (300, 5), (5, 300)):
        await mouse.move(x, y)
        await mouse.wheel(0, 400)
    await visitor.page.keyboard.press("PageDown")
    await visitor.page.clock.run_for(300_000)
    await visitor.page.evaluate("dispatchEvent(new Event('blur')); document.dispatchEvent(new Event('mouseleave'))")
    await visitor.page.clock.run_for(300_000)
    await expect(visitor.button).to_be_visible()


def modules(visitor: Visitor, watch: Watch) -> list[str]:
    """Return the paths of the requests for the widget's parts, one for each request."""
    return [path for _, path in watch.requests_to(visitor.shops.base) if path.startswith("/widget/")]


def seconds(answer: httpx2.Response) -> int:
    """Return max-age of an answer, in seconds."""
    max_age = SECONDS.search(answer.headers["cache-control"])
    assert max_age
    return int(max_age[1])
