"""Goals for the owner's own analytics, and the marks of campaigns."""

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor
from tests.running import phone

LISTENING = """<script>
var told = [];
function gtag(...told_) { told.push(["gtag", ...told_]); }
function ym(...told_) { told.push(["ym", ...told_]); }
</script>"""


async def told(visitor: Visitor) -> list[list[object]]:
    """List what arrived at gtag and ym."""
    everything: list[list[object]] = await visitor.page.evaluate("told")
    return everything


async def test_goals_go_to_every_analytics_the_site_names(visitor: Visitor) -> None:
    visitor.expects = ("Failed to load resource",)
    await visitor.visit(LISTENING + visitor.shops.tag('data-site="measured"'))
    await visitor.open()
    await visitor.ask("8 800 555-35-35")
    await expect(visitor.number).to_have_attribute("aria-invalid", "true")
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    goals = ["chaser_callback_open", "chaser_callback_refused", "chaser_callback_accepted"]
    assert await visitor.page.evaluate("dataLayer") == [{"event": goal} for goal in goals]
    assert [row for row in await told(visitor) if row[0] == "gtag"] == [["gtag", "event", goal] for goal in goals]
    assert [row for row in await told(visitor) if row[0] == "ym"] == [["ym", 4711, "reachGoal", goal] for goal in goals]


async def test_a_request_of_the_owners_own_form_counts_too(visitor: Visitor) -> None:
    await visitor.visit(LISTENING + visitor.shops.tag('data-site="measured"'))
    await visitor.page.evaluate(f"chaserCallback.submit({{client_phone: '{phone()}'}})")
    assert await visitor.page.evaluate("dataLayer") == [{"event": "chaser_callback_accepted"}]


async def test_nobody_is_told_where_the_site_names_nobody(visitor: Visitor) -> None:
    await visitor.visit(LISTENING + visitor.shops.tag())
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert await told(visitor) == []
    assert await visitor.page.evaluate("window.dataLayer") is None


async def test_analytics_that_are_not_there_or_break_change_nothing(visitor: Visitor) -> None:
    visitor.expects = ("broken",)
    broken = "<script>dataLayer = {push() { throw 'broken' }}</script>"
    await visitor.visit(broken + visitor.shops.tag('data-site="measured"'))
    await visitor.open()
    typed = await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert len(visitor.sent()) == 1
    assert len(visitor.shops.chaser.calls(client_phone=typed.lstrip("+"))) == 1


@pytest.mark.parametrize(
    ("landed", "went_to", "sent"),
    [
        ("?utm_source=mail&utm_medium=a%20b&id=7", None, "?utm_source=mail&utm_medium=a%20b&id=7"),
        ("?id=7&utm_source=mail&utm_term=x", "/roses", "/roses?utm_source=mail&utm_term=x"),
        ("?utm_source=mail", "/roses?color=red#top", "/roses?color=red&utm_source=mail#top"),
        ("?utm_source=mail", "/roses?utm_source=ad", "/roses?utm_source=ad"),
        ("?id=7", "/roses?color=red&x=%20", "/roses?color=red&x=%20"),
        ("", "/roses", "/roses"),
    ],
)
async def test_the_page_is_the_present_one_with_the_marks_the_visitor_came_with(
    visitor: Visitor, landed: str, went_to: str | None, sent: str
) -> None:
    address = visitor.shops.page()
    await visitor.page.goto(address + landed)
    await visitor.ready()
    if went_to:
        await visitor.page.evaluate("to => history.pushState({}, '', to)", went_to)
    await visitor.page.evaluate(f"chaserCallback.submit({{client_phone: '{phone()}'}})")
    expected = visitor.shops.pages.origin() + sent if went_to else address + sent
    assert visitor.sent()[0]["active_page"] == expected
