"""The formatting of phone numbers, executed in the browser, and in the field with its caret."""

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor

# Texts typed or pasted on a site for Russia, and the text that the field shows: the same digits, in groups.
FORMATTED = {
    # Typed digit by digit.
    "": "",
    "8": "8",
    "7": "7",
    "+": "+",
    "+7": "+7",
    "89": "8 9",
    "+79": "+7 9",
    "8916": "8 916",
    "89161": "8 916 1",
    "8916123": "8 916 123",
    "89161234": "8 916 123-4",
    "891612345": "8 916 123-45",
    "8916123456": "8 916 123-45-6",
    "89161234567": "8 916 123-45-67",
    "9": "9",
    "9161": "916 1",
    "9161234567": "916 123-45-67",
    # Pasted in various notations.
    "8 (916) 123-45-67": "8 916 123-45-67",
    "+7 (916) 123-45-67": "+7 916 123-45-67",
    "(+7) 916 1234567": "+7 916 123-45-67",
    "79161234567": "7 916 123-45-67",
    " 8.916.123.45.67 ": "8 916 123-45-67",
    "8 916 123–45–67": "8 916 123-45-67",
    "8\u2011916\u2014123\u221245\u221267": "8 916 123-45-67",
    "\u202a+79161234567\u202c": "+7 916 123-45-67",
    "8 495 123-45-67": "8 495 123-45-67",
    "8 701 123 45 67": "8 701 123-45-67",
    # Other and ambiguous numbers stay unchanged.
    "+44 7400 123456": "+44 7400 123456",
    "+1 (212) 555-0123": "+1 (212) 555-0123",
    "81 3 1234 5678": "81 3 1234 5678",
    "8 10 44 7400 123456": "8 10 44 7400 123456",
    "7185551234": "7185551234",
    "+89161234567": "+89161234567",
    "0079161234567": "0079161234567",
    "998901234567": "998901234567",
    "+7 916 123-45-678": "+791612345678",
    "998 90 123 45 67": "998901234567",
    "+7 8 916 123-45-12": "+789161234512",
    "8-916-CALL-NOW": "8-916-CALL-NOW",
    "+7 916 123-45-67, доб. 5": "+7 916 123-45-67, доб. 5",
    "٠٧٩": "٠٧٩",
}
# The same with another first country.
FORMATTED_ABROAD = {
    "9162345678": "9162345678",
    "84912345678": "84912345678",
    "+79161234567": "+7 916 123-45-67",
}


@pytest.fixture
async def phone_js(visitor: Visitor) -> str:
    """The address of dialog.js, for an import in the page."""
    await visitor.visit()
    return f"{visitor.shops.base}/widget/any/dialog.js"


@pytest.mark.parametrize(("regions", "expected"), [(["RU"], FORMATTED), (["US", "RU"], FORMATTED_ABROAD)])
async def test_numbers_are_formatted(
    visitor: Visitor, phone_js: str, regions: list[str], expected: dict[str, str]
) -> None:
    assert await formatted(visitor, phone_js, list(expected), regions) == expected


async def test_formatting_twice_changes_nothing(visitor: Visitor, phone_js: str) -> None:
    once = list(FORMATTED.values())
    assert await formatted(visitor, phone_js, once, ["RU"]) == {text: text for text in once}


# The text in the field with | for the caret, the key pressed, and the text after that.
EDITS = [
    ("8 916|", "1", "8 916 1|"),
    ("+7 916 123|", "4", "+7 916 123-4|"),
    ("+7 91|6 123-45", "5", "+7 915| 612-34-5"),
    ("+7 916 123-4|", "Backspace", "+7 916 123|"),
    ("+7 916 |123-45", "Backspace", "+7 916| 123-45"),
    ("+7 916| 123-45", "Backspace", "+7 91|1 234-5"),
    ("+7 916 |123-45-67", "Delete", "+7 916| 234-56-7"),
    ("8 916| 123-45-67", "Delete", "8 916| 234-56-7"),
    ("8 916 123|-45-67", "Delete", "8 916 123|-56-7"),
    ("+7|", "Backspace", "+|"),
    ("+|", "Backspace", "|"),
    ("+44 74|00 1", "5", "+44 745|00 1"),
    ("916 123-45-6|", "7", "916 123-45-67|"),
    ("916 123-45-67|", "8", "91612345678|"),
]


async def test_the_caret_stays_where_the_visitor_types(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    got = []
    for before, key, _ in EDITS:
        await visitor.number.evaluate(
            """(field, [text, at]) => {
                field.value = text;
                field.dispatchEvent(new InputEvent("input", {bubbles: true}));
                field.setSelectionRange(at, at);
            }""",
            [before.replace("|", ""), before.index("|")],
        )
        await visitor.page.keyboard.press(key)
        text, at = await visitor.number.evaluate("field => [field.value, field.selectionStart]")
        got.append((before, key, text[:at] + "|" + text[at:]))
    assert got == EDITS


async def test_a_whole_number_can_be_erased_with_backspace(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    await visitor.number.press_sequentially("89161234567")
    for _ in range(12):
        await visitor.page.keyboard.press("Backspace")
    await expect(visitor.number).to_have_value("")


async def test_a_site_outside_of_plus_seven_formats_nothing(visitor: Visitor) -> None:
    await visitor.visit_site("foreign")
    await visitor.open()
    await visitor.number.press_sequentially("89161234567")
    await expect(visitor.number).to_have_value("89161234567")


async def test_undo_goes_back_through_the_earlier_texts_of_the_field(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    seen = {""}
    for key in "89161234567":
        await visitor.number.press(key)
        seen |= {await visitor.number.input_value(), await visitor.number.input_value() + key}
    shown = []
    for _ in range(24):
        await visitor.page.keyboard.press("Control+z")
        shown.append(await visitor.number.input_value())
    digits = ["".join(filter(str.isdigit, text)) for text in shown]
    assert all("89161234567".startswith(text) for text in digits)
    assert digits == sorted(digits, key=len, reverse=True)
    assert shown[-1] == ""


async def test_a_number_filled_in_while_another_field_has_the_focus_is_not_formatted(
    visitor: Visitor,
) -> None:
    await visitor.visit_site("consent")
    await visitor.open()
    box = visitor.dialog.get_by_role("checkbox")
    await box.focus()
    await visitor.number.evaluate(
        "field => { field.value = '+79161234567'; field.dispatchEvent(new InputEvent('input', {bubbles: true})) }"
    )
    await expect(visitor.number).to_have_value("+79161234567")
    await expect(box).to_be_focused()


async def formatted(visitor: Visitor, phone_js: str, texts: list[str], regions: list[str]) -> dict[str, str]:
    """Return the result of the module's `format` for each text."""
    code = """async ([address, texts, regions]) => {
        const { format } = await import(address);
        return texts.map(text => format(text, regions));
    }"""
    got = await visitor.page.evaluate(code, [phone_js, texts, regions])
    return dict(zip(texts, got, strict=True))
