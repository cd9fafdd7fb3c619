"""Owners' pages that make a widget's life hard, and what a visitor does on each of them.

The HTML files beside this module are served as they are, but for three addresses:

- https://callback.example is the service;
- https://shop.example/NAME is the page of that name, on the owner's origin;
- https://partner.example/NAME is that page on another origin, which no site of the service lists.

Seven of them are made from one: see INJECTED.

Comments before the doctype are headers of the answer: <!-- Referrer-Policy: no-referrer -->.
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

Looks = dict[str, list[Any]]
"""Width, height, colour and background colour of each part."""

INJECTED = {
    # The tag comes when the test lets it, on an ordinary page, and where the root arranges its children.
    "layout-block": ("", ""),
    "layout-flex": ("html { display: flex; justify-content: space-between; gap: 50px } body { flex: 1 }", ""),
    "layout-grid": ("html { display: grid; place-items: center; height: 100% }", ""),
    # A tag manager's own way, while the page is being read.
    "tag-injected": ("", "inject();"),
    # When the document is complete; and when everything has loaded, after somebody consented to cookies.
    "tag-injected-on-ready": ("", 'document.addEventListener("DOMContentLoaded", inject);'),
    "tag-injected-late": ("", 'addEventListener("load", () => setTimeout(inject, 300));'),
    # It takes its script away again once that has run.
    "tag-removed": ("", "inject().onload = event => event.target.remove();"),
}
"""Pages made from injected.html: a style sheet, and what is done with the function that makes the tag."""

_FOLDER = Path(__file__).parent
_HEADER = re.compile(r"<!-- ([A-Za-z-]+): (.*?) -->\n", re.DOTALL)
_PAGE = re.compile(r"https://(shop|partner)\.example/([a-z-]+)(?=\")")
_COLOURS = (
    "element => { const { color, backgroundColor } = getComputedStyle(element); return [color, backgroundColor] }"
)
_HOSTS = {"shop": "shop.test", "partner": "other.test"}


def named(beginning: str) -> list[str]:
    """List the pages whose names begin so."""
    names = [*INJECTED, *(path.stem for path in _FOLDER.glob("*.html"))]
    found = sorted(name for name in names if name.startswith(beginning))
    assert found, beginning
    return found


def put(
    shops: World, name: str, host: str = "shop.test", headers: dict[str, str] | None = None, service: str | None = None
) -> str:
    """Serve a page, with these headers and its own, and give its address. `service` stands for ours if it is given."""
    base = service or shops.base
    text = _text(name).replace("https://callback.example", base)
    text = _PAGE.sub(lambda found: put(shops, found[2], _HOSTS[found[1]]), text)
    served = dict(headers or {})
    while found := _HEADER.match(text):
        # Two policies in one header are both in force, as in two headers.
        served[found[1]] = ", ".join(filter(None, (served.get(found[1]), " ".join(found[2].split()))))
        text = text[found.end() :]
    return shops.pages.add(text, served, host)


def _text(name: str) -> str:
    file = "injected" if name in INJECTED else name
    style, script = INJECTED.get(name, ("", ""))
    text = (_FOLDER / f"{file}.html").read_text(encoding="utf-8")
    return text.replace("/* style */", style).replace("/* script */", script)


def inside(visitor: Visitor, frame: Frame) -> Visitor:
    """Give the same visitor, who looks at a frame of the page."""
    looking = copy.copy(visitor)
    looking.page = frame
    return looking


async def whole_job(visitor: Visitor, active_page: str | None = None) -> None:
    """Press the button, type a number, tick the consent, send, and be phoned once, from this page.

    Nothing here runs in the page's own world, where the page may have replaced anything. Each press is a real one, at
    the middle of the element, and fails where something else lies there.
    """
    await press_the_button(visitor)
    await fill_in_and_be_phoned(visitor, active_page)


async def press_the_button(visitor: Visitor) -> None:
    """Open the dialog by the floating button."""
    await expect(visitor.button).to_be_in_viewport(ratio=1)
    await visitor.button.click()
    await visitor.dialog.wait_for()


async def looks(visitor: Visitor) -> Looks:
    """Give the size and the colours of the button and of the dialog, which has to be open."""
    seen = {}
    for name, element in (("button", visitor.button), ("dialog", visitor.dialog), ("number", visitor.number)):
        box = await element.bounding_box()
        assert box is not None, name
        seen[name] = [box["width"], box["height"], *await element.evaluate(_COLOURS)]
    return seen


async def fill_in(visitor: Visitor) -> str:
    """Type a new number, key by key, tick the consent, and give the number in digits."""
    number = phone()
    await visitor.number.click()
    await visitor.number.fill("")
    await visitor.number.press_sequentially("+" + number)
    await visitor.dialog.get_by_role("checkbox").check()
    return number


async def send(visitor: Visitor) -> None:
    """Press the button in the dialog."""
    await visitor.dialog.get_by_role("button", name="Call me").click()


async def fill_in_and_be_phoned(visitor: Visitor, active_page: str | None = None) -> None:
    """Do what is left of the job once the dialog is open."""
    number = await fill_in(visitor)
    await send(visitor)
    call = await phoned(visitor, number)
    assert call["params"]["active_page"] == (active_page or visitor.page.url)
    assert visitor.sent()[-1]["consent"]["accepted"] is True
    await expect(visitor.alerts.filter(visible=True)).to_have_count(0)


async def phoned(visitor: Visitor, number: str, within: float = 15.0) -> dict[str, Any]:
    """Wait until the simulator has phoned the number, once, and give the call."""
    deadline = time.monotonic() + within
    while not (calls := visitor.shops.chaser.calls(client_phone=number)):
        assert time.monotonic() < deadline, {
            "sent": visitor.sent(),
            "said": visitor.said,
            "seen": await visitor.dialog.all_inner_texts(),
        }
        await visitor.page.wait_for_timeout(50)
    [call] = calls
    return call
