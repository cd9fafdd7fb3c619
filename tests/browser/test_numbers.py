"""Numbers typed and pasted in many notations: the text in the field, and the number called or the error shown.

Each row is executed in a real browser: keys are pressed, and texts are copied from another page and pasted. The number
called is the one at the simulator. The widget groups digits and changes none. Parsing is up to the service
(app/intake/phone.py), so every number that it accepts has to arrive there unchanged.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.visitor import Visitor
from tests.browser.world import ALWAYS, World
from tests.running import service, settings, until

REGIONS = {
    "ru": ["RU"],
    "rukz": ["RU", "KZ"],
    "ruuz": ["RU", "UZ"],
    "usru": ["US", "RU"],
    "vnru": ["VN", "RU"],
    "de": ["DE"],
    "gl": ["GL"],
}
LRE, PDF, LRM, ZWSP = "\N{LEFT-TO-RIGHT EMBEDDING}", "\N{POP DIRECTIONAL FORMATTING}", "\u200e", "\N{ZERO WIDTH SPACE}"
SHY, BOM, NBSP, NNBSP, THIN = "\N{SOFT HYPHEN}", "\ufeff", "\N{NO-BREAK SPACE}", "\u202f", "\N{THIN SPACE}"
EN, EM, HARD, MINUS, FIGURE = (
    "\N{EN DASH}",
    "\N{EM DASH}",
    "\N{NON-BREAKING HYPHEN}",
    "\N{MINUS SIGN}",
    "\N{FIGURE DASH}",
)


@dataclass(frozen=True)
class Row:
    """`steps`: methods of Typist with their argument. `shows`: the field then, with | for the caret. `result`: the
    digits of the number called, or the key of the error shown instead."""

    steps: tuple[str, ...]
    shows: str
    result: str
    site: str = "ru"

    def __str__(self) -> str:
        return f"{self.site}: " + ", ".join(ascii(step)[1:-1] for step in self.steps)


def typed(text: str, shows: str, result: str, site: str = "ru") -> Row:
    return Row((f"types {text}",), shows, result, site)


def pasted(text: str, shows: str, result: str, site: str = "ru") -> Row:
    return Row((f"pastes {text}",), shows, result, site)


def filled(text: str, shows: str, result: str, site: str = "ru") -> Row:
    return Row((f"autofills {text}",), shows, result, site)


def edited(shows: str, result: str, *steps: str) -> Row:
    return Row(steps, shows, result)


ROWS = [
    # Typed key by key.
    typed("89161234501", "8 916 123-45-01|", "79161234501"),
    typed("79161234502", "7 916 123-45-02|", "79161234502"),
    typed("+79161234503", "+7 916 123-45-03|", "79161234503"),
    typed("9161234504", "916 123-45-04|", "79161234504"),
    typed("8 (916) 123-45-05", "8 916 123-45-05|", "79161234505"),
    typed("+7 (916) 123 45 06", "+7 916 123-45-06|", "79161234506"),
    typed("8.916.123.45.07", "8 916 123-45-07|", "79161234507"),
    typed("7-916-123-45-08 ", "7 916 123-45-08|", "79161234508"),
    typed("84951234509", "8 495 123-45-09|", "74951234509"),
    typed("4951234510", "4951234510|", "74951234510"),
    # The country code mistyped, or with the international prefix.
    typed("+89161234511", "+89161234511|", "79161234511"),
    typed("+7 8 916 123-45-12", "+789161234512|", "79161234512"),
    typed("0079161234513", "0079161234513|", "79161234513"),
    pasted("8 10 7 916 123-45-14", "8 10 7 916 123-45-14|", "79161234514"),
    pasted("8~10 7 916 123-45-15", "8~10 7 916 123-45-15|", "phone_refused"),
    edited("+7+79161234516|", "79161234516", "types +7", "pastes +79161234516"),
    edited("+789161234517|", "79161234517", "types +7", "pastes 8 916 123-45-17"),
    edited("8+7 916 123-45-18|", "phone_refused", "types 8", "pastes +7 916 123-45-18"),
    # Pasted, with all kinds of separators.
    pasted(" +7 916 123-45-19 ", "+7 916 123-45-19|", "79161234519"),
    pasted("8\n916\t123\r\n4520", "8 916 123-45-20|", "79161234520"),
    pasted(f"+7{NBSP}916{NBSP}123{NBSP}45{NBSP}21", "+7 916 123-45-21|", "79161234521"),
    pasted(f"+7{THIN}916{NNBSP}123{THIN}45{NNBSP}22", "+7 916 123-45-22|", "79161234522"),
    pasted(f"8 916 123{EN}45{EM}23", "8 916 123-45-23|", "79161234523"),
    pasted(f"8 916 123{HARD}45{MINUS}24", "8 916 123-45-24|", "79161234524"),
    pasted(f"8 916 123{FIGURE}45-25.", "8 916 123-45-25|", "79161234525"),
    pasted("(916) 123-45-26", "916 123-45-26|", "79161234526"),
    pasted("[8] 916/123/45•27", "[8] 916/123/45•27|", "79161234527"),
    # Invisible characters, other digits, words around the number.
    pasted(f"{LRE}+7 916 123-45-28{PDF}", "+7 916 123-45-28|", "79161234528"),
    pasted(f"{LRM}8 916 123-45-29", "8 916 123-45-29|", "79161234529"),
    pasted(f"{BOM}8916{ZWSP}123{SHY}4530", "8 916 123-45-30|", "79161234530"),
    typed("٨٩١٦١٢٣٤٥٣١", "٨٩١٦١٢٣٤٥٣١|", "79161234531"),
    pasted("＋７（９１６）１２３－４５－３２", "＋７（９１６）１２３－４５－３２|", "79161234532"),
    pasted("tel:+79161234533", "tel:+79161234533|", "79161234533"),
    pasted("Тел.: +7 916 123-45-34", "Тел.: +7 916 123-45-34|", "phone_refused"),
    typed("8-916-CALL-NOW", "8 916CALL-NOW|", "phone_refused"),
    typed("8 9О6 123-45-36", "8 9О6 123-45-36|", "phone_refused"),
    typed("8 916 123-45-37 доб. 5", "8 916 123-45-37доб. 5|", "phone_refused"),
    pasted("+79161234538,,5", "+79161234538,,5|", "phone_refused"),
    # Too few digits, too many, and numbers that belong to no person.
    typed(" ", " |", "phone_missing"),
    typed("8 916 123-45", "8 916 123-45|", "phone_too_short"),
    typed("+7 916 123-45-4", "+7 916 123-45-4|", "phone_too_short"),
    typed("+791612345420", "+791612345420|", "phone_refused"),
    typed("112", "112|", "phone_refused"),
    typed("88005553535", "8 800 555-35-35|", "phone_refused"),
    typed("+78031234545", "+7 803 123-45-45|", "phone_refused"),
    pasted("+7 916 123-45-46 / 8 495 123-45-46", "+7 916 123-45-46 / 8 495 123-45-46|", "phone_refused"),
    pasted("89161234547 89161234548", "89161234547 89161234548|", "phone_refused"),
    pasted("89161234548" + " " * 60, "8 916 123-45-48|", "79161234548"),
    # Other countries.
    typed("+44 7400 123456", "+44 7400 123456|", "phone_region"),
    typed("+77011234550", "+7 701 123-45-50|", "phone_region"),
    typed("+77011234551", "+7 701 123-45-51|", "77011234551", "rukz"),
    typed("87011234552", "8 701 123-45-52|", "77011234552", "rukz"),
    typed("7011234553", "7011234553|", "77011234553", "rukz"),
    typed("998901234554", "998901234554|", "998901234554", "ruuz"),
    typed("9162345655", "9162345655|", "19162345655", "usru"),
    typed("+79162345656", "+7 916 234-56-56|", "79162345656", "usru"),
    typed("84912345657", "84912345657|", "84912345657", "vnru"),
    typed("030 12345658", "030 12345658|", "493012345658", "de"),
    pasted("0049 (0)171 1234559", "0049 (0)171 1234559|", "491711234559", "de"),
    typed("89 1260", "89 1260|", "49891260", "de"),
    typed("+7 916 123-45-61", "+7 916 123-45-61|", "phone_region", "de"),
    typed("221262", "221262|", "299221262", "gl"),
    # Filled in by the browser.
    filled("+79161234563", "+7 916 123-45-63|", "79161234563"),
    filled("9161234564", "916 123-45-64|", "79161234564"),
    filled("8 (916) 123-45-65", "8 916 123-45-65|", "79161234565"),
    # Corrected. The caret stays behind the digit it was behind.
    edited("8 916 123-45-70|", "79161234570", "types 000", "presses Control+A", "pastes 8 (916) 123 4570"),
    edited("8 916 123-45-71|", "79161234571", "types 89161234009", "presses Shift+ArrowLeft*5", "pastes 45-71"),
    edited("8 916 1|23-45-72", "79161234572", "types 8916234572", "presses Home ArrowRight*5", "types 1"),
    edited("8 916 123-45-7|3", "79161234573", "types 89161234583", "presses ArrowLeft Backspace", "types 7"),
    edited("8 916| 123-45-74", "79161234574", "types 89161234574", "presses ArrowLeft*9 Backspace"),
    edited("8 916| 123-45-75", "79161234575", "types 89171234575", "presses ArrowLeft*9 Backspace*2", "types 6"),
    edited("8 916| 234-57-6", "phone_too_short", "types 89161234576", "presses ArrowLeft*9 Delete"),
    edited("8 916| 457-7", "phone_too_short", "types 89161234577", "presses ArrowLeft*9 Delete*3"),
    edited("8 916 123-45-78|", "79161234578", "types 89160123457", "presses ArrowLeft*10 Delete End", "types 8"),
    edited(
        "8 916 123|-45-79",
        "79161234579",
        "types 89160004579",
        "presses Home ArrowRight*6 Shift+ArrowRight*3",
        "types 123",
    ),
    edited("+7| 916 123-45-80", "79161234580", "types 89161234580", "presses Home Delete", "types +7"),
    edited("8| 916 123-45-81", "79161234581", "types 9161234581", "presses Home", "types 8"),
    edited("8 916 123-45-82|", "79161234582", "types 8916123458299", "presses Backspace*2"),
    edited("|", "phone_missing", "types 89161234583", "presses Control+A Delete"),
    edited("|", "phone_missing", "types 89161234583", "presses Backspace*12"),
]


class Typist(Visitor):
    """A visitor who types, copies and pastes."""

    def __init__(self, page: Page, shops: World, desk: Page) -> None:
        super().__init__(page, shops)
        self._desk = desk

    async def types(self, text: str) -> None:
        """Press a key for each character."""
        await self.page.keyboard.type(text)

    async def presses(self, keys: str) -> None:
        """Press keys; "Delete*3" presses Delete three times."""
        for key in keys.split():
            name, _, times = key.partition("*")
            for _ in range(int(times or 1)):
                await self.page.keyboard.press(name)

    async def pastes(self, text: str) -> None:
        """Copy a text from another page and paste it."""
        await self._desk.locator("textarea").fill(text)
        for key in ("a", "c"):
            await self._desk.keyboard.press(f"Control+{key}")
        await self.page.keyboard.press("Control+v")

    async def autofills(self, text: str) -> None:
        """Fill in the field as a browser's autofill does."""
        code = """(field, text) => {
            field.value = text;
            for (const type of ["input", "change"]) field.dispatchEvent(new Event(type, {bubbles: true}));
        }"""
        await self.number.evaluate(code, text)

    async def shown(self) -> str:
        """Return the field's text with | for the caret."""
        text, caret = await self.number.evaluate("field => [field.value, field.selectionEnd]")
        return f"{text[:caret]}|{text[caret:]}"


@pytest.fixture(scope="module")
def regions_world(shops: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The owners' pages, with a service whose sites call different countries."""
    common = {"site_id": 12345, "origins": [shops.pages.origin()], "working_hours": ALWAYS}
    sites = {"shop": None} | {name: common | {"regions": regions} for name, regions in REGIONS.items()}
    chosen = settings(tmp_path_factory.mktemp("numbers"), shops.chaser.api_url, sites=sites, duplicate_window="1s")
    with service(chosen) as running:
        yield replace(shops, service=running)


@pytest.fixture(scope="module")
async def profile(browser: Browser) -> AsyncIterator[BrowserContext]:
    """The browser context of all rows."""
    context = await browser.new_context(locale="en-US", timezone_id="Europe/Moscow", reduced_motion="reduce")
    yield context
    await context.close()


@pytest.fixture(scope="module")
async def desk(profile: BrowserContext, regions_world: World) -> Page:
    """A page to copy texts from."""
    page = await profile.new_page()
    await page.goto(regions_world.pages.add("<link rel=icon href=data:,><textarea autofocus></textarea>"))
    return page


@pytest.fixture(scope="module")
async def window(profile: BrowserContext) -> Page:
    """The window for the pages with the widget."""
    return await profile.new_page()


@pytest.fixture
async def typist(window: Page, regions_world: World, desk: Page) -> AsyncIterator[Typist]:
    """A visitor who types, copies and pastes."""
    current = Typist(window, regions_world, desk)
    current.expected_logs = ("Failed to load resource",)  # a refused number
    yield current
    current.detach()
    assert current.unexpected_logs() == []


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_number_is_shown_and_arrives(typist: Typist, row: Row) -> None:
    await typist.visit_site(row.site, 'data-lang="en"')
    await typist.open()
    for step in row.steps:
        method, _, argument = step.partition(" ")
        await getattr(typist, method)(argument)
    assert await typist.shown() == row.shows
    await typist.page.keyboard.press("Enter")
    if row.result.isdigit():
        url = typist.page.url
        calls = typist.shops.chaser.calls
        await asyncio.to_thread(until, lambda: any(call["params"]["active_page"] == url for call in calls()))
        assert [call["client_phone"] for call in calls() if call["params"]["active_page"] == url] == [row.result]
    else:
        file = f"{typist.shops.base}/widget/any/messages.en.js"
        words = await typist.page.evaluate("async file => (await import(file)).words", file)
        await expect(typist.number).to_have_accessible_description(re.compile(re.escape(words[row.result]) + "$"))
        assert await typist.shown() == row.shows


def test_no_two_rows_call_the_same_number() -> None:
    called = [row.result for row in ROWS if row.result.isdigit()]
    assert len(called) == len(set(called))
    assert len(ROWS) >= 60


async def test_undo_restores_earlier_numbers_and_redo_the_last_one(typist: Typist) -> None:
    await typist.visit_site("ru")
    await typist.open()
    await typist.number.evaluate("""field => {
        window.had = [""];
        field.addEventListener("input", () => had.push(field.value.replace(/[^0-9]/g, "")));
    }""")
    await typist.types("8916000")
    await typist.presses("Backspace*3")
    await typist.types("1234567")
    await typist.presses("Home ArrowRight*6 Shift+ArrowRight*3")
    await typist.pastes("999")
    last = await typist.number.input_value()
    assert last == "8 916 999-45-67"
    had = set(await typist.page.evaluate("had"))
    back = []
    while await typist.number.input_value() and len(back) < 100:
        await typist.presses("Control+z")
        back.append("".join(filter(str.isdigit, await typist.number.input_value())))
    assert back[-1] == ""
    assert len(set(back)) > 4  # keys pressed one after another go back together
    assert set(back) <= had
    await typist.presses(f"Control+Shift+z*{len(back)}")
    assert await typist.number.input_value() == last
