"""Goals for the owner's analytics, and UTM parameters."""

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor
from tests.running import phone

LISTENING = """<script>
var calls = [];
function gtag(...args) { calls.push(["gtag", ...args]); }
function ym(...args) { calls.push(["ym", ...args]); }
</script>"""


async def analytics_calls(visitor: Visitor) -> list[list[object]]:
    """Return the calls of gtag and ym."""
    calls: list[list[object]] = await visitor.page.evaluate("calls")
    return calls


async def test_goals_go_to_every_analytics_system_in_the_settings(visitor: Visitor) -> None:
    visitor.expected_logs = ("Failed to load resource",)
    await visitor.visit(LISTENING + visitor.shops.tag('data-site="measured"'))
    await visitor.open()
    await visitor.ask("8 800 555-35-35")
    await expect(visitor.number).to_have_attribute("aria-invalid", "true")
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    goals = ["chaser_callback_open", "chaser_callback_refused", "chaser_callback_accepted"]
    assert await visitor.page.evaluate("dataLayer") == [{"event": goal} for goal in goals]
    assert [row for row in await analytics_calls(visitor) if row[0] == "gtag"] == [
        ["gtag", "event", goal] for goal in goals
    ]
    assert [row for row in await analytics_calls(visitor) if row[0] == "ym"] == [
        ["ym", 4711, "reachGoal", goal] for goal in goals
    ]


async def test_a_request_from_the_owners_own_form_counts_too(visitor: Visitor) -> None:
    await visitor.visit(LISTENING + visitor.shops.tag('data-site="measured"'))
    await visitor.page.evaluate(f"chaserCallback.submit({{client_phone: '{phone()}'}})")
    assert await visitor.page.evaluate("dataLayer") == [{"event": "chaser_callback_accepted"}]


async def test_without_analytics_in_the_settings_nothing_is_reported(visitor: Visitor) -> None:
    await visitor.visit(LISTENING + visitor.shops.tag())
    await visitor.open()
    await visitor.ask()
    await expect(visitor.title).to_have_text("We’re calling you")
    assert await analytics_calls(visitor) == []
    assert await visitor.page.evaluate("window.dataLayer") is None


async def test_missing_or_broken_analytics_change_nothing(visitor: Visitor) -> None:
    visitor.expected_logs = ("broken",)
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
async def test_the_active_page_is_the_current_one_with_the_utm_parameters_of_the_landing_page(
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
