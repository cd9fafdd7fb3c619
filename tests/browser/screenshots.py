"""Capture screenshots of every state of the widget: python -m tests.browser.screenshots FOLDER [STATE...].

Each state is taken in both languages, light and dark, on a narrow phone and on a desktop. index.html shows all of them.
"""

import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Route, expect

from tests.browser.visitor import Visitor
from tests.browser.world import World, chromium, world

LANGUAGES = {"ru": "ru-RU", "en": "en-US"}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = {"phone": (320, 568), "desktop": (1280, 720)}

_SHOP = (
    """<meta name="viewport" content="width=device-width, initial-scale=1"><style>
  :root { color-scheme: light dark; font: 16px/1.5 Arial, sans-serif }
  body { max-width: 60rem; margin: 3rem auto; padding: 0 1.25rem }
  i { display: block; height: 1em; margin: .75rem 0; border-radius: .25rem; background: #8884 }
  i:first-child { width: 55%; height: 2em } i:nth-child(4n) { width: 70%; margin-bottom: 2rem }
</style>"""
    + "<i></i>" * 16
)


@dataclass(frozen=True)
class State:
    """A state of the widget: the site, and the actions of a visitor that lead to it."""

    name: str
    site: str
    reach: Callable[[Visitor], Awaitable[None]]


async def button(_: Visitor) -> None:
    """Do nothing: only the floating button is shown."""


async def form(visitor: Visitor) -> None:
    """Open the dialog."""
    await visitor.open()


async def errors(visitor: Visitor) -> None:
    """Send the empty form."""
    await visitor.open()
    await visitor.ask(" ")


async def too_short(visitor: Visitor) -> None:
    """Type half a number."""
    await visitor.open()
    await visitor.ask("8916 12")
    await expect(visitor.alerts.filter(visible=True)).to_have_count(1)


async def no_connection(visitor: Visitor) -> None:
    """Send while the browser is offline; the widget tries twice."""
    await visitor.open()
    await visitor.dialog.get_by_role("checkbox").check()
    await visitor.page.context.set_offline(True)
    await visitor.ask()
    await expect(visitor.alerts.filter(visible=True)).to_have_count(1)


async def too_many(visitor: Visitor) -> None:
    """Send, and be refused by a daily quota."""

    async def refuse(route: Route) -> None:
        headers = {
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "retry-after",
            "retry-after": "30000",
        }
        await route.fulfill(status=429, headers=headers, body=json.dumps({"code": "quota_client"}))

    await visitor.page.route("**/v1/callbacks", refuse)
    await _asked(visitor)
    await expect(visitor.alerts.filter(visible=True)).to_have_count(1)


async def sending(visitor: Visitor) -> None:
    """Send; the answer does not come."""
    await visitor.pause_requests()
    await _asked(visitor)


async def counting(visitor: Visitor) -> None:
    """Send; the request is stored, but the call is not placed yet."""
    visitor.shops.chaser.fault("slow", seconds=2.0)
    await _asked(visitor)
    await expect(visitor.dialog).to_have_class("done")


async def placed(visitor: Visitor) -> None:
    """Send; Chaser has accepted the call."""
    await _asked(visitor)
    await expect(visitor.dialog).to_have_class("placed")


async def late(visitor: Visitor) -> None:
    """Send, and wait until the countdown ends."""
    await visitor.page.clock.install()
    await placed(visitor)
    await visitor.page.clock.run_for(31_000)
    await expect(visitor.dialog).to_have_class("late")


async def unknown(visitor: Visitor) -> None:
    """Send; Chaser's answer is lost."""
    visitor.shops.chaser.fault("close_after")
    await _asked(visitor)
    await expect(visitor.dialog).to_have_class("unknown")


async def failed(visitor: Visitor) -> None:
    """Send; Chaser refuses the call."""
    visitor.shops.chaser.fault("status", status=404)
    await _asked(visitor)
    await expect(visitor.dialog).to_have_class("failed")


async def planned(visitor: Visitor) -> None:
    """Send with a time tomorrow."""
    await visitor.open()
    await visitor.time.select_option(index=40)
    await visitor.ask()
    await expect(visitor.dialog).to_have_class("done")


async def chosen(visitor: Visitor) -> None:
    """Fill in everything, and tick the consent."""
    await visitor.open()
    await visitor.number.press_sequentially("89161234567")
    await visitor.time.select_option(index=2)
    await visitor.dialog.get_by_role("combobox").last.select_option(index=1)
    await visitor.dialog.get_by_role("checkbox").check()


STATES = (
    State("button", "consent", button),
    State("form", "consent", form),
    State("form-plain", "shop", form),
    State("form-closed", "closed", form),
    State("form-departments", "departments", chosen),
    State("form-neighbours", "neighbours", form),
    State("wrong", "consent", errors),
    State("wrong-number", "shop", too_short),
    State("no-connection", "consent", no_connection),
    State("too-many", "consent", too_many),
    State("sending", "consent", sending),
    State("counting", "consent", counting),
    State("placed", "consent", placed),
    State("late", "consent", late),
    State("planned", "shop", planned),
    State("unknown", "consent", unknown),
    State("failed", "consent", failed),
    State("themed", "themed", form),
)


async def _asked(visitor: Visitor) -> None:
    await visitor.open()
    await visitor.dialog.get_by_role("checkbox").check()
    await visitor.ask()


async def take_all(browser: Browser, shops: World, folder: Path, states: tuple[State, ...] = STATES) -> list[Path]:
    """Capture all screenshots, and return their files in the order of the states."""
    taken = []
    for state, language in itertools.product(states, LANGUAGES):
        context = await browser.new_context(
            locale=LANGUAGES[language],
            timezone_id="Asia/Yekaterinburg" if state.site == "departments" else "Europe/Moscow",
            reduced_motion="reduce",
        )
        visitor = Visitor(await context.new_page(), shops)
        await visitor.visit(shops.tag(f'data-site="{state.site}" data-lang="{language}"'), _SHOP)
        await state.reach(visitor)
        for scheme, (size, (width, height)) in itertools.product(SCHEMES, SIZES.items()):
            await visitor.page.emulate_media(color_scheme=scheme)
            await visitor.page.set_viewport_size({"width": width, "height": height})
            taken.append(folder / f"{state.name}-{language}-{scheme}-{size}.png")
            await visitor.page.screenshot(path=taken[-1])
        # Not continued: the call would use up the fault that is meant for the next state.
        for route in visitor.paused:
            await route.abort()
        await context.close()
    return taken


async def main(folder: Path, names: list[str]) -> None:
    """Fill the folder with the states of these names, by default with all. The folder is created if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    states = tuple(state for state in STATES if not names or state.name in names)
    with tempfile.TemporaryDirectory() as database, world(Path(database)) as shops:
        async with chromium() as browser:
            taken = await take_all(browser, shops, folder, states)
    figures = "".join(
        f'<figure><img src="{path.name}" loading="lazy"><figcaption>{path.stem}</figcaption></figure>\n'
        for path in taken
    )
    style = "body{display:flex;flex-wrap:wrap;gap:8px;background:#888;font:12px sans-serif}figure{margin:0}img{zoom:.5}"
    (folder / "index.html").write_text(f"<!doctype html><style>{style}</style>{figures}", encoding="utf-8")
    sys.stdout.write(f"{len(taken)} screenshots in {folder}\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m tests.browser.screenshots FOLDER [STATE...]")
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
