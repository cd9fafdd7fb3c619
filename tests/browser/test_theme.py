"""The appearance chosen by the owner: in the settings, and with CSS custom properties of the page."""

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor

STYLE = """element => {
    const { backgroundColor, borderRadius } = getComputedStyle(element);
    return [backgroundColor, borderRadius];
}"""


async def test_the_settings_decide_colour_corner_place_icon_and_scheme(visitor: Visitor) -> None:
    await visitor.visit_site("themed")
    color, corner = await visitor.button.evaluate(STYLE)
    assert color.startswith("oklch(0.45")
    assert corner == "4px"
    box = await visitor.button.bounding_box()
    assert box is not None
    assert (box["x"], box["y"] + box["height"]) == (40, 720 - 60)
    icon = await visitor.button.evaluate("element => getComputedStyle(element, ':before').clipPath")
    assert icon == 'path("M 4 4 H 20 V 20 H 4 Z")'
    await visitor.open()
    paper, corner = await visitor.dialog.evaluate(STYLE)
    assert (paper, corner) == ("rgb(28, 31, 38)", "4px")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_without_a_scheme_the_visitors_system_decides(visitor: Visitor, scheme: str) -> None:
    await visitor.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await visitor.visit()
    await visitor.open()
    paper, _ = await visitor.dialog.evaluate(STYLE)
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(28, 31, 38)"}[scheme]


async def test_custom_properties_of_the_page_win_over_the_settings(visitor: Visitor) -> None:
    style = """<style>chaser-callback { --chaser-color: #b00020; --chaser-corner: 10px; --chaser-x: 30px;
        --chaser-y: 90px; --chaser-font: monospace }</style>"""
    await visitor.visit(visitor.shops.tag('data-site="themed"'), style)
    color, corner = await visitor.button.evaluate(STYLE)
    assert color.startswith("oklch(0.47")
    assert corner == "10px"
    assert await visitor.button.evaluate("element => getComputedStyle(element).fontFamily") == "monospace"
    box = await visitor.button.bounding_box()
    assert box is not None
    assert (box["x"], box["y"] + box["height"]) == (30, 720 - 90)
    await visitor.open()
    assert (await visitor.dialog.evaluate(STYLE))[1] == "10px"


async def test_without_the_floating_button_the_owners_element_opens_the_dialog(visitor: Visitor) -> None:
    await visitor.visit(visitor.shops.tag('data-site="hidden"'), "<button data-chaser-callback>Call me back</button>")
    await expect(visitor.button).to_have_count(0)
    await visitor.page.get_by_role("button", name="Call me back").click()
    await expect(visitor.number).to_be_focused()
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.get_by_role("button", name="Call me back")).to_be_focused()


async def test_the_texts_of_the_buttons_are_semibold_before_and_after_the_dialog_has_loaded(visitor: Visitor) -> None:
    await visitor.visit()
    await expect(visitor.button).to_have_css("font-weight", "600")
    await visitor.open()
    await expect(visitor.button).to_have_css("font-weight", "600")
    await expect(visitor.dialog.get_by_role("button", name="Call me")).to_have_css("font-weight", "600")


async def test_in_forced_colours_the_icon_and_the_edges_can_be_seen(visitor: Visitor) -> None:
    await visitor.page.emulate_media(forced_colors="active")
    await visitor.visit()
    icon, back, edge = await visitor.button.evaluate("""element => [
        getComputedStyle(element, ':before').backgroundColor, getComputedStyle(element).backgroundColor,
        getComputedStyle(element).borderTopColor]""")
    assert icon != back
    assert edge != back


async def test_a_printed_page_has_no_button(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.page.emulate_media(media="print")
    await expect(visitor.button).to_be_hidden()
