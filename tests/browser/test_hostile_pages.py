"""The whole job on pages that interfere with the widget: see the files in hostile/."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Error, ViewportSize, expect

from tests.browser.hostile.owners import (
    Appearance,
    appearance,
    fill_in,
    fill_in_and_be_called,
    in_frame,
    pages_named,
    press_the_button,
    send,
    serve_page,
    wait_for_call,
    whole_job,
)
from tests.browser.hostile.returning import browser_with_bfcache, navigate_away, return_to_the_cached_page
from tests.browser.visitor import Visitor
from tests.browser.world import World

PAGES = [name for kind in ("css-", "events-", "js-", "page-", "policy-", "tag-") for name in pages_named(kind)]
# The same as in the fixture `visitor`.
VIEWPORT: ViewportSize = {"width": 1280, "height": 720}


@pytest.fixture(scope="module")
async def bfcache_browser() -> AsyncIterator[Browser]:
    """A browser with the back/forward cache, which Playwright disables by default."""
    async with browser_with_bfcache() as running:
        yield running


@pytest.fixture
async def returning(bfcache_browser: Browser, shops: World) -> AsyncIterator[Visitor]:
    """A visitor whose browser has the back/forward cache."""
    context = await bfcache_browser.new_context(locale="en-US", reduced_motion="reduce")
    current = Visitor(await context.new_page(), shops)
    yield current
    await context.close()
    assert current.unexpected_logs() == []


@pytest.fixture(scope="module")
async def usual_appearance(browser: Browser, shops: World) -> Appearance:
    """The appearance of the widget on a page that does not interfere."""
    context = await browser.new_context(locale="en-US", reduced_motion="reduce", viewport=VIEWPORT)
    visitor = Visitor(await context.new_page(), shops)
    await visitor.page.goto(serve_page(shops, "tag-end"))
    await press_the_button(visitor)
    found = await appearance(visitor)
    await context.close()
    return found


@pytest.mark.parametrize("name", PAGES)
async def test_the_whole_job_works_with_the_usual_appearance_on(
    visitor: Visitor, usual_appearance: Appearance, name: str
) -> None:
    await visitor.page.goto(serve_page(visitor.shops, name))
    await press_the_button(visitor)
    assert await appearance(visitor) == usual_appearance
    await fill_in_and_be_called(visitor)


async def test_two_tags_of_one_site_make_one_button_and_one_call(visitor: Visitor) -> None:
    visitor.expected_logs = ("Chaser Callback: this page has a second script tag.",)
    await visitor.page.goto(serve_page(visitor.shops, "twice-same"), wait_until="load")
    await whole_job(visitor)
    await expect(visitor.button).to_have_count(1)
    assert len(visitor.hints()) == 1


async def test_of_two_tags_of_different_sites_the_first_counts_and_the_console_shows_a_warning(
    visitor: Visitor,
) -> None:
    visitor.expected_logs = ("Chaser Callback: this page has a second script tag.",)
    async with visitor.page.expect_console_message(lambda message: message.text.startswith(visitor.expected_logs)):
        await visitor.page.goto(serve_page(visitor.shops, "twice-different"))
    await whole_job(visitor)
    await expect(visitor.button).to_have_count(1)
    assert [body["site"] for body in visitor.sent()] == ["consent"]


@pytest.mark.parametrize("origin", ["same", "other"])
async def test_the_whole_job_works_in_a_frame(visitor: Visitor, origin: str) -> None:
    host = {"same": "shop.test", "other": "other.test"}[origin]
    await visitor.page.goto(serve_page(visitor.shops, f"framed-{origin}-origin", host))
    [frame] = visitor.page.main_frame.child_frames
    assert ("shop.test" in visitor.page.url) is (origin == "same")
    await whole_job(in_frame(visitor, frame), active_page=frame.url)
    assert await visitor.page.locator("chaser-callback").count() == 0


async def test_after_a_navigation_without_loading_the_active_page_is_the_new_one(visitor: Visitor) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "single-page"))
    first = visitor.page.url
    await press_the_button(visitor)
    await visitor.page.keyboard.press("Escape")
    await visitor.page.get_by_role("link", name="Roses").click()
    second = visitor.shops.pages.origin() + "/roses?utm_source=mail"
    await whole_job(visitor, active_page=second)
    await visitor.page.keyboard.press("Escape")
    await visitor.page.go_back()
    assert visitor.page.url == first
    await whole_job(visitor)


async def test_an_address_that_changes_while_the_dialog_is_open_is_the_active_page(visitor: Visitor) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "single-page"))
    await press_the_button(visitor)
    number = await fill_in(visitor)
    await visitor.page.evaluate("history.replaceState({}, '', '/lilies')")
    await send(visitor)
    call = await wait_for_call(visitor, number)
    assert call["params"]["active_page"] == visitor.shops.pages.origin() + "/lilies"


@pytest.mark.parametrize("caching", ["max-age=60", "no-store"])
async def test_a_cached_page_works_after_going_back(returning: Visitor, caching: str) -> None:
    await returning.page.goto(serve_page(returning.shops, "tag-end", headers={"cache-control": caching}))
    await press_the_button(returning)
    await returning.page.keyboard.press("Escape")
    await navigate_away(returning)
    await return_to_the_cached_page(returning)
    await expect(returning.button).to_have_count(1)
    await whole_job(returning)


async def test_text_typed_before_the_visitor_left_is_sent_after_they_return(returning: Visitor) -> None:
    await returning.page.goto(serve_page(returning.shops, "tag-end"))
    await press_the_button(returning)
    number = await fill_in(returning)
    await navigate_away(returning)
    await return_to_the_cached_page(returning)
    await send(returning)
    await wait_for_call(returning, number)


async def test_a_page_that_is_not_cached_is_loaded_again_with_one_button(visitor: Visitor) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "tag-end", headers={"cache-control": "no-store"}))
    await whole_job(visitor)
    await navigate_away(visitor)
    await visitor.page.go_back()
    await expect(visitor.button).to_have_count(1)
    await whole_job(visitor)


async def test_the_dialog_opens_above_a_modal_dialog_of_the_page(visitor: Visitor) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "layers"))
    await visitor.ready()
    native = visitor.page.locator("#native")
    await native.evaluate("element => element.showModal()")
    await native.get_by_role("button").click()
    await visitor.dialog.wait_for()
    await fill_in_and_be_called(visitor)
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.dialog).to_have_count(0)
    await expect(native).to_be_visible()
    await expect(native.get_by_role("button")).to_be_focused()


async def test_escape_closes_the_dialog_and_no_layer_of_the_page(visitor: Visitor) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "layers"))
    layer = visitor.page.locator("#layer")
    await layer.evaluate("element => { element.hidden = false }")
    await press_the_button(visitor)
    await visitor.number.press("Escape")
    await expect(visitor.dialog).to_have_count(0)
    await expect(layer).to_be_visible()
    await visitor.page.keyboard.press("Escape")
    await expect(layer).to_be_hidden()


async def test_a_page_that_closes_all_its_dialogs_leaves_ours_open(visitor: Visitor) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "layers"))
    await press_the_button(visitor)
    await visitor.page.locator("#native").evaluate("""element => {
        element.showModal();
        for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    }""")
    await fill_in_and_be_called(visitor)


@pytest.mark.parametrize(
    "change",
    [
        "document.body.innerHTML = '<h1>Lilies</h1>'",
        "document.body.replaceWith(document.createElement('body'))",
        "document.head.replaceWith(document.createElement('head'))",
        "for (const node of [...document.documentElement.children]) if (!/HEAD|BODY/.test(node.tagName)) node.remove()",
        "document.documentElement.innerHTML = '<head><title>Lilies</title></head><body>Lilies</body>'",
        "document.documentElement.replaceWith(document.createElement('html')); document.documentElement.innerHTML = ''",
    ],
    ids=["content", "body", "head", "all-but-head-and-body", "everything", "root"],
)
async def test_an_application_that_replaces_its_page_keeps_the_button(visitor: Visitor, change: str) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "tag-end"))
    await visitor.ready()
    await visitor.page.evaluate(change)
    await whole_job(visitor)


@pytest.mark.own_window
async def test_a_page_that_always_removes_the_element_stays_responsive(visitor: Visitor) -> None:
    """The widget and the page undo each other's change; growing delays keep the page from freezing."""
    await visitor.page.clock.install()
    await visitor.page.goto(serve_page(visitor.shops, "tag-end"))
    await visitor.ready()
    await visitor.page.evaluate("""{
        window.removals = 0;
        const remove = () => {
            const element = document.querySelector("chaser-callback");
            if (element) removals++;
            element?.remove();
        };
        window.watcher = new MutationObserver(remove);
        watcher.observe(document.documentElement, { childList: true });
        remove();
    }""")
    await visitor.page.clock.run_for(60_000)
    removals = await visitor.page.evaluate("removals")
    assert 1 < removals < 150
    await visitor.page.evaluate("watcher.disconnect()")
    await visitor.page.clock.run_for(2_000)
    await expect(visitor.button).to_be_visible()


async def test_a_page_with_its_own_fetch_may_remove_the_widget_as_well(visitor: Visitor) -> None:
    """The replacement for fetch has to work after the element has been put back."""
    await visitor.page.goto(serve_page(visitor.shops, "js-fetch-throws"))
    await visitor.button.wait_for()
    await visitor.page.evaluate("document.querySelector('chaser-callback').remove()")
    await whole_job(visitor)


async def test_replacing_the_body_under_the_open_dialog_loses_nothing(visitor: Visitor) -> None:
    await visitor.page.goto(serve_page(visitor.shops, "tag-end"))
    await press_the_button(visitor)
    number = await fill_in(visitor)
    await visitor.page.evaluate("document.body.innerHTML = '<h1>Lilies</h1>'")
    await send(visitor)
    await wait_for_call(visitor, number)


async def test_a_button_that_cannot_be_pressed_fails_the_job(visitor: Visitor) -> None:
    """Check that the tests can fail: a modal dialog of the page makes everything else inert."""
    await visitor.page.goto(serve_page(visitor.shops, "layers"))
    await visitor.ready()
    await visitor.page.locator("#native").evaluate("element => element.showModal()")
    visitor.page.set_default_timeout(500)
    with pytest.raises(Error, match="intercepts pointer events"):
        await press_the_button(visitor)
