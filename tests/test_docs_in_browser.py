"""The recipes of docs/site-owners.md in a real browser: unchanged except for the address, version and hashes."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.world import HTML, World, chromium, world
from tests.running import phone, until

PAGE = (Path(__file__).parents[1] / "docs" / "site-owners.md").read_text(encoding="utf-8")
WRONG = "sha384-" + "A" * 64


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("docs")) as running:
        yield running


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await (await browser.new_context(locale="en-US")).new_page()


def recipe(heading: str) -> str:
    """Return the first HTML block of the section under a heading."""
    section = PAGE[PAGE.index(f"# {heading}\n") :]
    block = re.search(r"^```html\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1]


def pinned(shops: World, **changed: str) -> str:
    """Fill in the recipe as it describes: from widget.json, with a line for each of the modules."""
    pinning: dict[str, Any] = shops.service.http.get("/widget.json").json()
    modules = {
        path: changed.get(path.rpartition("/")[2].removesuffix(".js"), integrity)
        for path, integrity in pinning["modules"].items()
    }
    html = recipe("Pinning the scripts (SRI)")
    shown = re.search(r"\{\"integrity\".*?\}\}", html, re.DOTALL)
    assert shown is not None
    example = json.loads(shown[0])["integrity"]
    for address, integrity in example.items():
        assert address.replace("https://callback.example/", "").replace("<version>", pinning["version"]) in modules
        assert integrity == "sha384-<hash>"
    html = html.replace(
        shown[0], json.dumps({"integrity": {f"{shops.base}/{path}": modules[path] for path in modules}})
    )
    html = html.replace("widget-<version>.js", pinning["src"]).replace("sha384-<hash>", pinning["integrity"])
    assert "<version>" not in html
    return html.replace("https://callback.example", shops.base)


async def visit(page: Page, shops: World, html: str) -> None:
    await page.goto(shops.pages.add(f"{HTML}{html}</head><body>"))


async def test_a_page_that_pins_everything_works(page: Page, shops: World) -> None:
    logs: list[str] = []
    page.on("console", lambda message: logs.append(message.text))
    await visit(page, shops, pinned(shops))
    await page.get_by_role("button", name="Request a call").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert logs == []


async def test_a_module_that_is_not_the_pinned_one_is_not_run(page: Page, shops: World) -> None:
    await visit(page, shops, pinned(shops, dialog=WRONG))
    async with page.expect_console_message(lambda message: "integrity" in message.text and "dialog.js" in message.text):
        await page.get_by_role("button", name="Request a call").hover()


async def test_a_loader_that_is_not_the_pinned_one_is_not_run(page: Page, shops: World) -> None:
    integrity = shops.service.http.get("/widget.json").json()["integrity"]
    async with page.expect_console_message(lambda message: "integrity" in message.text):
        await visit(page, shops, pinned(shops).replace(integrity, WRONG))
    assert await page.evaluate("typeof chaserCallback") == "undefined"


async def test_a_tag_created_by_a_tag_manager_shows_the_button(page: Page, shops: World) -> None:
    html = recipe("Tag managers, WordPress, Tilda").replace("https://callback.example", shops.base)
    await visit(page, shops, html)
    await expect(page.get_by_role("button", name="Request a call")).to_be_visible()


async def test_a_form_of_the_owners_own_sends_a_request_and_shows_errors(page: Page, shops: World) -> None:
    stub = recipe("JavaScript")
    tag = shops.tag('data-site="consent"')
    await page.goto(shops.pages.add(f"{HTML}{stub}{tag}</head><body>{recipe('A form of your own')}"))
    answer = page.locator("#callback-answer")
    await page.get_by_role("checkbox").check()
    await page.locator("input[name=phone]").fill("112")
    await page.get_by_role("button", name="Call me", exact=True).click()
    await expect(answer).to_have_text("Please check the number.")
    number = phone()
    await page.locator("input[name=phone]").fill(f"+{number}")
    await page.get_by_role("button", name="Call me", exact=True).click()
    await expect(answer).to_have_text("We are calling you.")
    until(lambda: len(shops.chaser.calls(client_phone=number)) == 1)


async def test_the_custom_properties_override_the_settings(page: Page, shops: World) -> None:
    style = re.search(r"^```css\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert style is not None
    await visit(page, shops, f"<style>{style[1]}</style>" + shops.tag('data-site="consent"'))
    button = page.get_by_role("button", name="Request a call")
    await expect(button).to_be_visible()
    look = await button.evaluate(
        """button => {
            const { left, bottom } = button.getBoundingClientRect();
            const { borderRadius, fontFamily } = getComputedStyle(button);
            return [left, innerHeight - bottom, borderRadius, fontFamily];
        }"""
    )
    assert look == [16, 88, "8px", '"PT Sans", sans-serif']
