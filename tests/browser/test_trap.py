"""The field that people don't meet: who fills it in is no visitor, and a person looks at the request first."""

from typing import Any

from playwright.async_api import expect

from tests.browser.visitor import Visitor
from tests.running import AUTHORIZED

TRAP = "input[name=website]"


async def accessible(visitor: Visitor) -> list[tuple[str, str]]:
    """List role and name of everything in the page's accessibility tree, as Chromium hands it to screen readers."""
    session = await visitor.page.context.new_cdp_session(visitor.page)
    nodes: list[dict[str, Any]] = (await session.send("Accessibility.getFullAXTree"))["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown]


def kept(visitor: Visitor, callback_id: str) -> dict[str, Any]:
    """Give what the service knows of a callback."""
    found: dict[str, Any] = visitor.shops.service.http.get(f"/v1/callbacks/{callback_id}", headers=AUTHORIZED).json()
    return found


async def test_people_keyboards_screen_readers_and_autofill_never_meet_the_trap(visitor: Visitor) -> None:
    await visitor.visit_site("consent")
    await visitor.open()
    trap = visitor.dialog.locator(TRAP)
    # A browser paints it, so that it is no field which whoever drives a browser can tell by its box.
    box = await trap.bounding_box()
    assert box is not None
    assert box["width"] > 0
    await expect(trap).to_have_css("opacity", "0")
    await expect(trap).to_have_css("pointer-events", "none")
    await expect(trap).to_have_attribute("autocomplete", "off")
    text_fields = [name for role, name in await accessible(visitor) if role == "textbox"]
    assert text_fields == ["Phone number"]
    for _ in range(8):
        await visitor.page.keyboard.press("Tab")
        assert not await trap.evaluate("field => field.getRootNode().activeElement === field")


async def test_a_filled_trap_is_answered_as_usual_and_held(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.dialog.locator(TRAP).evaluate("field => { field.value = 'https://spam.example' }")
    async with visitor.page.expect_response("**/v1/callbacks") as answer:
        number = await visitor.ask()
    await expect(visitor.title).to_have_text("Request accepted")
    callback = await (await answer.value).json()
    assert callback["status"] == "queued"
    assert kept(visitor, callback["id"])["status"] == "held"
    assert visitor.shops.chaser.calls(client_phone=number.lstrip("+")) == []
