"""The triggers that open the dialog automatically."""

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor

pytestmark = pytest.mark.own_window

LONG = "<p style='height: 4000px'>Roses</p><input aria-label='Name'>"
OPENED = "void (window.opened = 0, chaserCallback.on('open', () => opened++))"


async def arrive(visitor: Visitor, site: str, body: str = LONG) -> None:
    """Open a page with a fake clock."""
    await visitor.page.clock.install()
    await visitor.visit(visitor.shops.tag(f'data-site="{site}"'), body)
    await visitor.page.wait_for_function("document.querySelector('chaser-callback').shadowRoot.querySelector('dialog')")
    await visitor.page.evaluate(OPENED)


async def wait(visitor: Visitor, seconds: int) -> None:
    """Advance the page's clock."""
    await visitor.page.clock.run_for(seconds * 1000)


async def leave(visitor: Visitor) -> None:
    """Move the pointer out of the window at the top."""
    await visitor.page.mouse.move(300, 300)
    await visitor.page.evaluate("""document.body.dispatchEvent(
        new MouseEvent("mouseout", {bubbles: true, clientX: 300, clientY: -1, relatedTarget: null}))""")


async def opened(visitor: Visitor) -> int:
    """Return how often the dialog has opened."""
    count: int = await visitor.page.evaluate("opened")
    return count


async def test_it_opens_after_the_set_seconds_and_restores_the_focus(visitor: Visitor) -> None:
    await arrive(visitor, "staying")
    await wait(visitor, 2)
    assert await opened(visitor) == 0
    await wait(visitor, 2)
    await expect(visitor.number).to_be_focused()
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.dialog).to_have_count(0)
    # In the next frame: Chromium removes the focus from hidden elements when it paints.
    await visitor.page.wait_for_function("document.activeElement === document.body")


async def test_it_opens_once_a_day_and_not_on_the_next_page(visitor: Visitor) -> None:
    await arrive(visitor, "staying")
    await wait(visitor, 4)
    await visitor.dialog.wait_for()
    await visitor.page.keyboard.press("Escape")
    await wait(visitor, 60)
    assert await opened(visitor) == 1
    await visitor.visit_site("staying")
    await visitor.page.evaluate(OPENED)
    await wait(visitor, 60)
    assert await opened(visitor) == 0
    await visitor.page.evaluate("localStorage.chaser_callback = 'the day before'")
    await visitor.visit_site("staying")
    await wait(visitor, 5)
    await visitor.dialog.wait_for()


async def test_after_a_visitor_has_opened_it_it_does_not_open_automatically(visitor: Visitor) -> None:
    await arrive(visitor, "staying")
    await visitor.open()
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.dialog).to_have_count(0)
    await wait(visitor, 60)
    assert await opened(visitor) == 1


async def test_it_opens_when_the_pointer_leaves_at_the_top(visitor: Visitor) -> None:
    await arrive(visitor, "leaving")
    await wait(visitor, 60)
    await visitor.page.evaluate("""document.body.dispatchEvent(
        new MouseEvent("mouseout", {bubbles: true, clientX: -1, clientY: 300, relatedTarget: null}))""")
    assert await opened(visitor) == 0
    await leave(visitor)
    await visitor.dialog.wait_for()


async def test_it_opens_at_the_set_scroll_depth_and_not_on_a_page_that_does_not_scroll(visitor: Visitor) -> None:
    await arrive(visitor, "scrolling", "Roses")
    await wait(visitor, 10)
    assert await opened(visitor) == 0
    await visitor.visit(visitor.shops.tag('data-site="scrolling"'), LONG)
    await visitor.page.evaluate(OPENED)
    await visitor.page.evaluate("scrollTo(0, 1000)")
    await wait(visitor, 5)
    assert await opened(visitor) == 0
    await visitor.page.evaluate("scrollTo(0, 2200)")
    await wait(visitor, 2)
    await visitor.dialog.wait_for()


BUSY = {
    "typing": "document.querySelector('input').focus()",
    "typing in a shadow root": """{
        const host = document.body.appendChild(document.createElement("div"));
        host.attachShadow({mode: "open"}).append(document.createElement("input"));
        host.shadowRoot.firstChild.focus();
    }""",
    "a modal dialog": "document.body.appendChild(document.createElement('dialog')).showModal()",
    "a dialog": "document.body.appendChild(document.createElement('dialog')).show()",
    "a home-made dialog": """document.body.insertAdjacentHTML("beforeend", "<div role='dialog'>10 % off</div>")""",
}


# The checks are the same for each trigger, so the second trigger is tested with one of them.
@pytest.mark.parametrize(("site", "doing"), [*(("staying", doing) for doing in BUSY), ("leaving", "typing")])
async def test_it_never_opens_while_the_visitor_types_or_another_dialog_is_open(
    visitor: Visitor, site: str, doing: str
) -> None:
    await arrive(visitor, site)
    await visitor.page.evaluate(f"{{ {BUSY[doing]} }}")
    await wait(visitor, 10)
    await leave(visitor)
    assert await opened(visitor) == 0
    await visitor.page.evaluate("""{
        for (const element of document.querySelectorAll("dialog, div, input")) element.remove();
    }""")
    await wait(visitor, 2)
    await leave(visitor)
    await visitor.dialog.wait_for()


async def test_a_closed_dialog_of_the_page_does_not_prevent_it(visitor: Visitor) -> None:
    await arrive(visitor, "staying", "<div role='dialog' style='display: none'>10 % off</div><dialog>Size</dialog>")
    await wait(visitor, 4)
    await visitor.dialog.wait_for()


async def test_without_storage_it_never_opens_automatically(visitor: Visitor) -> None:
    await visitor.page.add_init_script("""Object.defineProperty(window, "localStorage", {
        get() { throw new DOMException("blocked", "SecurityError"); }})""")
    await arrive(visitor, "staying")
    await wait(visitor, 60)
    assert await opened(visitor) == 0
    await visitor.open()


async def test_without_triggers_nothing_is_stored_and_nothing_opens(visitor: Visitor) -> None:
    await visitor.page.clock.install()
    await visitor.visit(body=LONG)
    await visitor.page.evaluate(OPENED)
    await visitor.open()
    await visitor.page.keyboard.press("Escape")
    await visitor.page.evaluate("scrollTo(0, 4000)")
    await wait(visitor, 600)
    await leave(visitor)
    assert await opened(visitor) == 1
    assert await visitor.page.evaluate("localStorage.length") == 0
