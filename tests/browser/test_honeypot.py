"""The honeypot, a field that people cannot see: a request with a value in it is held for the operator."""

from typing import Any

from playwright.async_api import expect

from tests.browser.visitor import Visitor
from tests.running import AUTHORIZED

HONEYPOT = "input[name=website]"


async def accessible(visitor: Visitor) -> list[tuple[str, str]]:
    """Return role and name of each node in the accessibility tree, as Chromium passes it to screen readers."""
    session = await visitor.page.context.new_cdp_session(visitor.page)
    nodes: list[dict[str, Any]] = (await session.send("Accessibility.getFullAXTree"))["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown]


def stored_callback(visitor: Visitor, callback_id: str) -> dict[str, Any]:
    """Return the callback as the API shows it to the operator."""
    callback: dict[str, Any] = visitor.shops.service.http.get(f"/v1/callbacks/{callback_id}", headers=AUTHORIZED).json()
    return callback


async def test_people_keyboards_screen_readers_and_autofill_never_reach_the_honeypot(visitor: Visitor) -> None:
    await visitor.visit_site("consent")
    await visitor.open()
    honeypot = visitor.dialog.locator(HONEYPOT)
    # It has a size, so a script in an automated browser cannot recognise it by an empty box.
    box = await honeypot.bounding_box()
    assert box is not None
    assert box["width"] > 0
    await expect(honeypot).to_have_css("opacity", "0")
    await expect(honeypot).to_have_css("pointer-events", "none")
    await expect(honeypot).to_have_attribute("autocomplete", "off")
    text_fields = [name for role, name in await accessible(visitor) if role == "textbox"]
    assert text_fields == ["Phone number"]
    for _ in range(8):
        await visitor.page.keyboard.press("Tab")
        assert not await honeypot.evaluate("field => field.getRootNode().activeElement === field")


async def test_a_filled_honeypot_is_answered_as_usual_and_held(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.dialog.locator(HONEYPOT).evaluate("field => { field.value = 'https://spam.example' }")
    async with visitor.page.expect_response("**/v1/callbacks") as answer:
        number = await visitor.ask()
    await expect(visitor.title).to_have_text("Request accepted")
    callback = await (await answer.value).json()
    assert callback["status"] == "queued"
    assert stored_callback(visitor, callback["id"])["status"] == "held"
    assert visitor.shops.chaser.calls(client_phone=number.lstrip("+")) == []
