"""Takes a picture of every state of the widget: python -m tests.browser.screenshots FOLDER.

Every state comes in both languages, light and dark, on a narrow phone and on a desktop; index.html shows all at once.
"""

import asyncio
import itertools
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Browser, expect

from tests.browser.visitor import Visitor
from tests.browser.world import World, chromium, world

LANGUAGES = {"ru": "ru-RU", "en": "en-US"}
SCHEMES = ("light", "dark")
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


async def button(visitor: Visitor) -> None:
    """The floating button alone."""


async def form(visitor: Visitor) -> None:
    """The dialog as it opens."""
    await visitor.open()


async def wrong(visitor: Visitor) -> None:
    """Both fields are wrong."""
    await visitor.open()
    await visitor.ask("8916")


async def no_connection(visitor: Visitor) -> None:
    """No answer came, twice."""
    await visitor.page.route("**/v1/callbacks", lambda route: route.abort())
    await _asked(visitor)
    await expect(visitor.alerts.filter(visible=True)).to_have_count(1)


async def sending(visitor: Visitor) -> None:
    """The answer has not come yet."""
    await visitor.hold_requests()
    await _asked(visitor)


async def accepted(visitor: Visitor) -> None:
    """The request is stored, the call is being placed."""
    visitor.shops.chaser.fault("slow", seconds=2.0)
    await _asked(visitor)
    await expect(visitor.dialog).to_have_class("done")


async def delivered(visitor: Visitor) -> None:
    """Chaser has taken the call."""
    await _asked(visitor)
    await expect(visitor.dialog).to_have_class("delivered")


async def failed(visitor: Visitor) -> None:
    """Chaser has refused the call."""
    visitor.shops.chaser.fault("status", status=404)
    await _asked(visitor)
    await expect(visitor.dialog).to_have_class("failed")


STATES: tuple[Callable[[Visitor], Awaitable[None]], ...] = (
    button,
    form,
    wrong,
    no_connection,
    sending,
    accepted,
    delivered,
    failed,
)


async def _asked(visitor: Visitor) -> None:
    await visitor.open()
    await visitor.dialog.get_by_role("checkbox").check()
    await visitor.ask()


async def take_all(browser: Browser, shops: World, folder: Path) -> list[Path]:
    """Take all pictures and give their files, in the order of the states."""
    taken = []
    for state, language, scheme, size in itertools.product(STATES, LANGUAGES, SCHEMES, SIZES):
        width, height = SIZES[size]
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            locale=LANGUAGES[language],
            reduced_motion="reduce",
        )
        visitor = Visitor(await context.new_page(), shops)
        await visitor.visit(shops.tag(f'data-site="consent" data-lang="{language}"'), _SHOP)
        await state(visitor)
        taken.append(folder / f"{state.__name__}-{language}-{scheme}-{size}.png")
        await visitor.page.screenshot(path=taken[-1])
        await visitor.let_go()
        await context.close()
    return taken


async def main(folder: Path) -> None:
    """Fill the folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as database, world(Path(database)) as shops:
        async with chromium() as browser:
            taken = await take_all(browser, shops, folder)
    figures = "".join(
        f'<figure><img src="{path.name}" loading="lazy"><figcaption>{path.stem}</figcaption></figure>\n'
        for path in taken
    )
    style = "body{display:flex;flex-wrap:wrap;gap:8px;background:#888;font:12px sans-serif}figure{margin:0}img{zoom:.5}"
    (folder / "index.html").write_text(f"<!doctype html><style>{style}</style>{figures}", encoding="utf-8")
    sys.stdout.write(f"{len(taken)} pictures in {folder}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.browser.screenshots FOLDER")
    asyncio.run(main(Path(sys.argv[1])))
