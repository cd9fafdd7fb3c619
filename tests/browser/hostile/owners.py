"""Owners' pages that interfere with the widget, and a visitor's actions on them.

The HTML files in this folder are served as they are, except that three addresses are replaced:

- https://callback.example is the service;
- https://shop.example/NAME is the page of that name, on the owner's origin;
- https://partner.example/NAME is that page on another origin, which no site of the service allows.

Seven pages are generated from one file: see INJECTED.

A comment before the doctype is a response header: <!-- Referrer-Policy: no-referrer -->.
"""

import copy
import re
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Frame, expect

from tests.browser.visitor import Visitor
from tests.browser.world import World
from tests.running import phone

Appearance = dict[str, list[Any]]
"""Width, height, colour and background colour of each part."""

INJECTED = {
    # The test injects the tag: into an ordinary page, and into pages whose root element is a flex or grid container.
    "layout-block": ("", ""),
    "layout-flex": ("html { display: flex; justify-content: space-between; gap: 50px } body { flex: 1 }", ""),
    "layout-grid": ("html { display: grid; place-items: center; height: 100% }", ""),
    # As a tag manager does, while the page is being parsed.
    "tag-injected": ("", "inject();"),
    # After DOMContentLoaded; and after the load event, as with a cookie banner.
    "tag-injected-on-ready": ("", 'document.addEventListener("DOMContentLoaded", inject);'),
    "tag-injected-late": ("", 'addEventListener("load", () => setTimeout(inject, 300));'),
    # The page removes the script element after it has run.
    "tag-removed": ("", "inject().onload = event => event.target.remove();"),
}
"""Pages generated from injected.html: a style sheet, and a script that calls the function `inject`."""

_FOLDER = Path(__file__).parent
_HEADER = re.compile(r"<!-- ([A-Za-z-]+): (.*?) -->\n", re.DOTALL)
_PAGE = re.compile(r"https://(shop|partner)\.example/([a-z-]+)(?=\")")
_COLOURS = (
    "element => { const { color, backgroundColor } = getComputedStyle(element); return [color, backgroundColor] }"
)
_HOSTS = {"shop": "shop.test", "partner": "other.test"}


def pages_named(beginning: str) -> list[str]:
    """Return the names of the pages with this beginning."""
    names = [*INJECTED, *(path.stem for path in _FOLDER.glob("*.html"))]
    matching = sorted(name for name in names if name.startswith(beginning))
    assert matching, beginning
    return matching


def serve_page(
    shops: World, name: str, host: str = "shop.test", headers: dict[str, str] | None = None, service: str | None = None
) -> str:
    """Serve a page with these headers and its own, and return its address. `service`: in place of ours."""
    base = service or shops.base
    text = _text(name).replace("https://callback.example", base)
    text = _PAGE.sub(lambda match: serve_page(shops, match[2], _HOSTS[match[1]]), text)
    served = dict(headers or {})
    while header := _HEADER.match(text):
        # Two policies joined in one header are both enforced, as with two headers.
        served[header[1]] = ", ".join(filter(None, (served.get(header[1]), " ".join(header[2].split()))))
        text = text[header.end() :]
    return shops.pages.add(text, served, host)


def _text(name: str) -> str:
    file = "injected" if name in INJECTED else name
    style, script = INJECTED.get(name, ("", ""))
    text = (_FOLDER / f"{file}.html").read_text(encoding="utf-8")
    return text.replace("/* style */", style).replace("/* script */", script)


def in_frame(visitor: Visitor, frame: Frame) -> Visitor:
    """Return a copy of the visitor that acts in a frame of the page."""
    copied = copy.copy(visitor)
    copied.page = frame
    return copied


async def whole_job(visitor: Visitor, active_page: str | None = None) -> None:
    """Press the button, type a number, tick the consent, send, and expect exactly one call, from this page.

    Nothing here runs as JavaScript of the page, which may have replaced any function. Each click is a real one in the
    middle of the element, and fails if another element covers it.
    """
    await press_the_button(visitor)
    await fill_in_and_be_called(visitor, active_page)


async def press_the_button(visitor: Visitor) -> None:
    """Open the dialog with the floating button."""
    await expect(visitor.button).to_be_in_viewport(ratio=1)
    await visitor.button.click()
    await visitor.dialog.wait_for()


async def appearance(visitor: Visitor) -> Appearance:
    """Return the size and the colours of the button, the dialog and the field. The dialog has to be open."""
    measured = {}
    for name, element in (("button", visitor.button), ("dialog", visitor.dialog), ("number", visitor.number)):
        box = await element.bounding_box()
        assert box is not None, name
        measured[name] = [box["width"], box["height"], *await element.evaluate(_COLOURS)]
    return measured


async def fill_in(visitor: Visitor) -> str:
    """Type a new number, key by key, tick the consent, and return the digits of the number."""
    number = phone()
    await visitor.number.click()
    await visitor.number.fill("")
    await visitor.number.press_sequentially("+" + number)
    await visitor.dialog.get_by_role("checkbox").check()
    return number


async def send(visitor: Visitor) -> None:
    """Press the submit button."""
    await visitor.dialog.get_by_role("button", name="Call me").click()


async def fill_in_and_be_called(visitor: Visitor, active_page: str | None = None) -> None:
    """Fill in the open dialog, send, and expect exactly one call."""
    number = await fill_in(visitor)
    await send(visitor)
    call = await wait_for_call(visitor, number)
    assert call["params"]["active_page"] == (active_page or visitor.page.url)
    # First: the browser's events before this answer have arrived then, also that of the request.
    await expect(visitor.alerts.filter(visible=True)).to_have_count(0)
    assert visitor.sent()[-1]["consent"]["accepted"] is True


async def wait_for_call(visitor: Visitor, number: str, within: float = 15.0) -> dict[str, Any]:
    """Wait until the simulator has called the number, exactly once, and return the call."""
    deadline = time.monotonic() + within
    while not (calls := visitor.shops.chaser.calls(client_phone=number)):
        assert time.monotonic() < deadline, {
            "sent": visitor.sent(),
            "logs": visitor.logs,
            "dialog": await visitor.dialog.all_inner_texts(),
        }
        await visitor.page.wait_for_timeout(50)
    [call] = calls
    return call
