"""The whole job on pages that were not made for the widget: see the files in hostile/."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Error, ViewportSize, expect

from tests.browser.hostile.owners import (
    Looks,
    fill_in,
    fill_in_and_be_phoned,
    inside,
    looks,
    named,
    phoned,
    press_the_button,
    put,
    send,
    whole_job,
)
from tests.browser.hostile.returning import browser_that_keeps_pages, go_away, return_to_the_kept_page
from tests.browser.visitor import Visitor
from tests.browser.world import World

PAGES = [name for kind in ("css-", "events-", "js-", "page-", "policy-", "tag-") for name in named(kind)]
# That of the fixture `visitor`.
VIEWPORT: ViewportSize = {"width": 1280, "height": 720}


@pytest.fixture(scope="module")
async def keeping_browser() -> AsyncIterator[Browser]:
    """A browser that keeps pages for a return, which Playwright switches off otherwise."""
    async with browser_that_keeps_pages() as running:
        yield running


@pytest.fixture
async def returning(keeping_browser: Browser, shops: World) -> AsyncIterator[Visitor]:
    """Somebody who goes back and forth."""
    context = await keeping_browser.new_context(locale="en-US", reduced_motion="reduce")
    someone = Visitor(await context.new_page(), shops)
    yield someone
    await context.close()
    assert someone.complaints() == []


@pytest.fixture(scope="module")
async def usual_looks(browser: Browser, shops: World) -> Looks:
    """How the widget looks on a page that does nothing."""
    context = await browser.new_context(locale="en-US", reduced_motion="reduce", viewport=VIEWPORT)
    visitor = Visitor(await context.new_page(), shops)
    await visitor.page.goto(put(shops, "tag-end"))
    await press_the_button(visitor)
    found = await looks(visitor)
    await context.close()
    return found


@pytest.mark.parametrize("name", PAGES)
async def test_the_whole_job_works_and_looks_as_usual_on(visitor: Visitor, usual_looks: Looks, name: str) -> None:
    await visitor.page.goto(put(visitor.shops, name))
    await press_the_button(visitor)
    assert await looks(visitor) == usual_looks
    await fill_in_and_be_phoned(visitor)


async def test_two_tags_of_one_site_make_one_button_and_one_call(visitor: Visitor) -> None:
    visitor.expects = ("Chaser Callback: this page has a second script tag.",)
    await visitor.page.goto(put(visitor.shops, "twice-same"), wait_until="load")
    await whole_job(visitor)
    await expect(visitor.button).to_have_count(1)
    assert len(visitor.hints()) == 1


async def test_of_two_tags_of_different_sites_the_first_counts_and_the_owner_is_told(visitor: Visitor) -> None:
    visitor.expects = ("Chaser Callback: this page has a second script tag.",)
    async with visitor.page.expect_console_message(lambda message: message.text.startswith(visitor.expects)):
        await visitor.page.goto(put(visitor.shops, "twice-different"))
    await whole_job(visitor)
    await expect(visitor.button).to_have_count(1)
    assert [body["site"] for body in visitor.sent()] == ["consent"]


@pytest.mark.parametrize("origin", ["same", "other"])
async def test_the_whole_job_works_in_a_frame(visitor: Visitor, origin: str) -> None:
    host = {"same": "shop.test", "other": "other.test"}[origin]
    await visitor.page.goto(put(visitor.shops, f"framed-{origin}-origin", host))
    [frame] = visitor.page.main_frame.child_frames
    assert ("shop.test" in visitor.page.url) is (origin == "same")
    await whole_job(inside(visitor, frame), active_page=frame.url)
    assert await visitor.page.locator("chaser-callback").count() == 0


async def test_after_a_navigation_without_loading_the_new_page_is_the_active_one(visitor: Visitor) -> None:
    await visitor.page.goto(put(visitor.shops, "single-page"))
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


async def test_an_address_that_changes_while_the_dialog_is_open_is_the_active_one(visitor: Visitor) -> None:
    await visitor.page.goto(put(visitor.shops, "single-page"))
    await press_the_button(visitor)
    number = await fill_in(visitor)
    await visitor.page.evaluate("history.replaceState({}, '', '/lilies')")
    await send(visitor)
    call = await phoned(visitor, number)
    assert call["params"]["active_page"] == visitor.shops.pages.origin() + "/lilies"


@pytest.mark.parametrize("caching", ["max-age=60", "no-store"])
async def test_a_page_that_is_kept_works_after_the_return(returning: Visitor, caching: str) -> None:
    await returning.page.goto(put(returning.shops, "tag-end", headers={"cache-control": caching}))
    await press_the_button(returning)
    await returning.page.keyboard.press("Escape")
    await go_away(returning)
    await return_to_the_kept_page(returning)
    await expect(returning.button).to_have_count(1)
    await whole_job(returning)


async def test_what_was_typed_before_the_visitor_went_away_is_sent_after_the_return(returning: Visitor) -> None:
    await returning.page.goto(put(returning.shops, "tag-end"))
    await press_the_button(returning)
    number = await fill_in(returning)
    await go_away(returning)
    await return_to_the_kept_page(returning)
    await send(returning)
    await phoned(returning, number)


async def test_a_page_that_is_not_kept_is_loaded_again_with_one_button(visitor: Visitor) -> None:
    await visitor.page.goto(put(visitor.shops, "tag-end", headers={"cache-control": "no-store"}))
    await whole_job(visitor)
    await go_away(visitor)
    await visitor.page.go_back()
    await expect(visitor.button).to_have_count(1)
    await whole_job(visitor)


async def test_the_dialog_opens_above_a_modal_dialog_of_the_page(visitor: Visitor) -> None:
    await visitor.page.goto(put(visitor.shops, "layers"))
    await visitor.ready()
    native = visitor.page.locator("#native")
    await native.evaluate("element => element.showModal()")
    await native.get_by_role("button").click()
    await visitor.dialog.wait_for()
    await fill_in_and_be_phoned(visitor)
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.dialog).to_have_count(0)
    await expect(native).to_be_visible()
    await expect(native.get_by_role("button")).to_be_focused()


async def test_escape_closes_the_dialog_and_no_layer_of_the_page(visitor: Visitor) -> None:
    await visitor.page.goto(put(visitor.shops, "layers"))
    layer = visitor.page.locator("#layer")
    await layer.evaluate("element => { element.hidden = false }")
    await press_the_button(visitor)
    await visitor.number.press("Escape")
    await expect(visitor.dialog).to_have_count(0)
    await expect(layer).to_be_visible()
    await visitor.page.keyboard.press("Escape")
    await expect(layer).to_be_hidden()


async def test_a_page_that_closes_all_its_dialogs_leaves_ours_open(visitor: Visitor) -> None:
    await visitor.page.goto(put(visitor.shops, "layers"))
    await press_the_button(visitor)
    await visitor.page.locator("#native").evaluate("""element => {
        element.showModal();
        for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    }""")
    await fill_in_and_be_phoned(visitor)


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
    await visitor.page.goto(put(visitor.shops, "tag-end"))
    await visitor.ready()
    await visitor.page.evaluate(change)
    await whole_job(visitor)


@pytest.mark.own_window
async def test_a_page_that_takes_the_element_away_whenever_it_comes_stays_quick(visitor: Visitor) -> None:
    """Each puts right what the other does; the pauses between grow, so that the page never stands still."""
    await visitor.page.clock.install()
    await visitor.page.goto(put(visitor.shops, "tag-end"))
    await visitor.ready()
    await visitor.page.evaluate("""{
        window.taken = 0;
        const take = () => {
            const element = document.querySelector("chaser-callback");
            if (element) taken++;
            element?.remove();
        };
        window.watcher = new MutationObserver(take);
        watcher.observe(document.documentElement, { childList: true });
        take();
    }""")
    await visitor.page.clock.run_for(60_000)
    taken = await visitor.page.evaluate("taken")
    assert 1 < taken < 150
    await visitor.page.evaluate("watcher.disconnect()")
    await visitor.page.clock.run_for(2_000)
    await expect(visitor.button).to_be_visible()


async def test_a_page_with_its_own_fetch_may_take_the_widget_away_as_well(visitor: Visitor) -> None:
    """Whatever stands in for fetch has to live on when the element is put back."""
    await visitor.page.goto(put(visitor.shops, "js-fetch-throws"))
    await visitor.button.wait_for()
    await visitor.page.evaluate("document.querySelector('chaser-callback').remove()")
    await whole_job(visitor)


async def test_a_body_that_is_replaced_under_the_open_dialog_takes_nothing_away(visitor: Visitor) -> None:
    await visitor.page.goto(put(visitor.shops, "tag-end"))
    await press_the_button(visitor)
    number = await fill_in(visitor)
    await visitor.page.evaluate("document.body.innerHTML = '<h1>Lilies</h1>'")
    await send(visitor)
    await phoned(visitor, number)


async def test_a_button_that_cannot_be_pressed_fails_the_job(visitor: Visitor) -> None:
    """The control: a modal dialog of the page makes everything else inert, so a press must not count as done."""
    await visitor.page.goto(put(visitor.shops, "layers"))
    await visitor.ready()
    await visitor.page.locator("#native").evaluate("element => element.showModal()")
    visitor.page.set_default_timeout(500)
    with pytest.raises(Error, match="intercepts pointer events"):
        await press_the_button(visitor)
