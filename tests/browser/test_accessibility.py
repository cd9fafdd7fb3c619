"""Focus, names, announcements and contrast."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor
from tests.running import phone

# Returns the contrast of two colours as the browser paints them (WCAG 2.2, relative luminance).
CONTRAST = """([front, back]) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const light = color => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(
            value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [dark, bright] = [light(front), light(back)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
}"""
COLOR = "element => getComputedStyle(element).color"
FILL = "element => getComputedStyle(element).backgroundColor"


async def test_focus_goes_to_the_number_and_back_to_the_button(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await expect(visitor.number).to_be_focused()
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.dialog).to_have_count(0)
    await expect(visitor.button).to_be_focused()


async def test_focus_stays_in_the_dialog(visitor: Visitor) -> None:
    await visitor.visit(body="<a href='#'>a link of the page</a>")
    await visitor.open()
    for _ in range(8):
        await visitor.page.keyboard.press("Tab")
        assert await visitor.page.evaluate("document.activeElement.matches('chaser-callback, body')")


async def test_a_press_outside_closes_but_not_one_that_began_inside(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    box = await visitor.number.bounding_box()
    assert box is not None
    mouse = visitor.page.mouse
    await mouse.move(box["x"] + 20, box["y"] + 20)
    await mouse.down()
    await mouse.move(5, 5)
    await mouse.up()
    await expect(visitor.dialog).to_be_visible()
    await mouse.click(5, 5)
    await expect(visitor.dialog).to_have_count(0)


async def test_the_number_is_kept_when_the_dialog_is_closed_and_opened_again(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.number.fill("+7 916 1")
    await visitor.dialog.get_by_role("button", name="Close").click()
    await visitor.open()
    await expect(visitor.number).to_have_value("+7 916 1")


async def test_every_part_has_a_name_and_a_role(visitor: Visitor) -> None:
    await visitor.visit_site("consent")
    await expect(visitor.button).to_have_role("button")
    await visitor.open()
    await expect(visitor.dialog).to_have_role("dialog")
    await expect(visitor.dialog).to_have_accessible_name("We’ll call you back")
    await expect(visitor.number).to_have_accessible_name("Phone number")
    await expect(visitor.dialog.get_by_role("checkbox")).to_have_accessible_name(
        "I agree to be phoned. Read the consent"
    )
    for name in ("type", "autocomplete", "inputmode"):
        await expect(visitor.number).to_have_attribute(name, "tel")


async def test_the_status_of_the_request_is_announced(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    status = visitor.dialog.get_by_role("status")
    await visitor.ask()
    await expect(status).to_contain_text("We’re calling you")
    await expect(visitor.dialog).to_have_accessible_name("We’re calling you")
    await expect(visitor.dialog.get_by_role("button", name="Close").first).to_be_focused()


async def test_a_request_in_flight_is_not_sent_twice(visitor: Visitor) -> None:
    await visitor.pause_requests()
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    send = visitor.dialog.get_by_role("button", name="Sending…")
    await expect(send).to_be_disabled()
    while not visitor.paused:  # the widget sends a solved challenge at the earliest two seconds after it was issued
        await asyncio.sleep(0.05)
    await visitor.number.press("Enter")
    await send.dispatch_event("click")
    assert len(visitor.paused) == 1
    await visitor.continue_requests()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert len(visitor.sent()) == 1


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
async def test_nothing_is_cut_off_at_any_width(visitor: Visitor, width: int) -> None:
    await visitor.page.set_viewport_size({"width": width, "height": 568})
    await visitor.visit_site("consent", 'data-lang="ru"')
    fab = await visitor.button.bounding_box()
    assert fab is not None
    assert fab["x"] >= 0
    assert fab["x"] + fab["width"] <= width
    assert min(fab["width"], fab["height"]) >= 44
    await visitor.open()
    await visitor.ask("1")
    box = await visitor.dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= 568
    assert await visitor.dialog.evaluate("element => element.scrollWidth <= element.clientWidth")


async def test_the_whole_job_works_by_keyboard_alone_at_200_percent_on_a_screen_of_320_pixels(visitor: Visitor) -> None:
    """Zoomed to 200 %, such a screen is 160 CSS pixels wide."""
    await visitor.page.set_viewport_size({"width": 160, "height": 284})
    await visitor.visit_site("departments")
    keyboard = visitor.page.keyboard
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    await expect(visitor.number).to_be_focused()
    number = phone()
    await keyboard.type("+" + number)
    box = visitor.dialog.get_by_role("checkbox")
    controls = [*await visitor.dialog.get_by_role("combobox").all(), box, visitor.dialog.get_by_role("link").first]
    controls.append(visitor.dialog.get_by_role("button", name="Call me"))
    for control in controls:
        await keyboard.press("Tab")
        await expect(control).to_be_focused()
        await expect(control).to_be_in_viewport(ratio=0.9)
        if control is box:
            await keyboard.press("Space")
    assert await visitor.dialog.evaluate("element => element.scrollWidth <= element.clientWidth")
    await keyboard.press("Enter")
    await expect(visitor.title).to_have_text("We’re calling you")
    await expect(visitor.dialog.get_by_role("button", name="Close").first).to_be_in_viewport(ratio=0.5)
    assert await visitor.dialog.evaluate("element => element.scrollWidth <= element.clientWidth")
    assert len(visitor.shops.chaser.calls(client_phone=number)) == 1


async def test_the_field_is_in_the_upper_half_of_a_phones_screen_which_no_keyboard_covers(visitor: Visitor) -> None:
    await visitor.page.set_viewport_size({"width": 360, "height": 640})
    await visitor.visit_site("departments", 'data-lang="ru"')
    await visitor.open()
    box = await visitor.number.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 320


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_texts_have_a_contrast_of_at_least_4_5(visitor: Visitor, scheme: str) -> None:
    await visitor.page.emulate_media(color_scheme=scheme)
    await visitor.visit_site("consent")
    await visitor.open()
    await visitor.ask("1")
    paper = await visitor.dialog.evaluate(FILL)
    texts = visitor.dialog.locator("h2, p:visible, label, a:visible, .close")
    for text in await texts.all():
        assert await visitor.page.evaluate(CONTRAST, [await text.evaluate(COLOR), paper]) >= 4.5
    line = await visitor.number.evaluate("element => getComputedStyle(element).borderTopColor")
    assert await visitor.page.evaluate(CONTRAST, [line, paper]) >= 3


@pytest.mark.parametrize(
    "color", ["#2563eb", "#0a7", "#fd0", "#f80", "#f00", "#0f0", "#00f", "#f0f", "#0ff", "#fff", "#000", "#7a7a7a"]
)
async def test_any_colour_of_an_owner_carries_readable_text(visitor: Visitor, color: str) -> None:
    site = visitor.shops.service.http.get("/v1/sites/shop").json()
    recolored = site | {"theme": site["theme"] | {"color": color}}
    await visitor.page.route(
        "**/v1/sites/shop",
        lambda route: route.fulfill(json=recolored, headers={"access-control-allow-origin": "*"}),
    )
    await visitor.visit()
    colors = [await visitor.button.evaluate(COLOR), await visitor.button.evaluate(FILL)]
    assert await visitor.page.evaluate(CONTRAST, colors) >= 4.5


async def test_reduced_motion_means_no_animation(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert (
        await visitor.page.evaluate(
            "document.querySelector('chaser-callback').shadowRoot.getAnimations({subtree: true}).length"
        )
        == 0
    )
