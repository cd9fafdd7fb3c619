"""The formatting of phone numbers, run by the browser; and in the field, where a caret stands."""

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor

FORMATTED = {
    # Typed digit by digit: nothing is rewritten before it is clear that this is a number of +7.
    "": "",
    "8": "8",
    "7": "7",
    "+": "+",
    "+7": "+7",
    "89": "+7 9",
    "+79": "+7 9",
    "8916": "+7 916",
    "89161": "+7 916 1",
    "8916123": "+7 916 123",
    "89161234": "+7 916 123-4",
    "891612345": "+7 916 123-45",
    "8916123456": "+7 916 123-45-6",
    "89161234567": "+7 916 123-45-67",
    # Pasted in all ways.
    "8 (916) 123-45-67": "+7 916 123-45-67",
    "+7 (916) 123-45-67": "+7 916 123-45-67",
    "79161234567": "+7 916 123-45-67",
    "9161234567": "+7 916 123-45-67",
    " 8.916.123.45.67 ": "+7 916 123-45-67",
    "8 916 123–45–67": "+7 916 123-45-67",
    "8 495 123-45-67": "+7 495 123-45-67",
    "8 701 123 45 67": "+7 701 123-45-67",
    # Other numbers, and what isn't clear, stay as they are.
    "+44 7400 123456": "+44 7400 123456",
    "+1 (212) 555-0123": "+1 (212) 555-0123",
    "81 3 1234 5678": "81 3 1234 5678",
    "8 10 44 7400 123456": "8 10 44 7400 123456",
    "7185551234": "7185551234",
    "+89161234567": "+89161234567",
    "0079161234567": "0079161234567",
    "916123456": "916123456",
    "+7 916 123-45-678": "+7 916 123-45-678",
    "8-916-CALL-NOW": "8-916-CALL-NOW",
    "+7 916 123-45-67, доб. 5": "+7 916 123-45-67, доб. 5",
    "٠٧٩": "٠٧٩",
}
FAULTS = {
    "": "phone_missing",
    "   ": "phone_missing",
    "+7 916": "phone_too_short",
    "+7 916 123-45-6": "phone_too_short",
    "123456": "phone_too_short",
    "+": "phone_too_short",
    "+7 916 123-45-67": None,
    "123 45 67": None,
    "+44 7400 123456": None,
    # The service knows better what these are.
    "tel:+79161234567": None,
    "+7 916 123-45-678": None,
    "٨٩١٦١٢٣٤٥٦٧": None,
}


@pytest.fixture
async def phone_js(visitor: Visitor) -> str:
    """The address of the module, imported by a page under test."""
    await visitor.visit()
    return f"{visitor.shops.base}/widget/any/phone.js"


async def test_numbers_are_formatted(visitor: Visitor, phone_js: str) -> None:
    code = "async ([address, typed]) => typed.map((await import(address)).format)"
    typed = list(FORMATTED)
    got = await visitor.page.evaluate(code, [phone_js, typed])
    assert dict(zip(typed, got, strict=True)) == FORMATTED


async def test_formatting_twice_changes_nothing(visitor: Visitor, phone_js: str) -> None:
    code = "async ([address, texts]) => texts.map((await import(address)).format)"
    once = list(FORMATTED.values())
    assert await visitor.page.evaluate(code, [phone_js, once]) == once


async def test_only_what_is_plainly_wrong_is_a_fault(visitor: Visitor, phone_js: str) -> None:
    code = "async ([address, typed]) => typed.map(text => import(address).then(({ fault }) => fault(text) ?? null))"
    typed = list(FAULTS)
    got = await visitor.page.evaluate(f"async given => Promise.all(await ({code})(given))", [phone_js, typed])
    assert dict(zip(typed, got, strict=True)) == FAULTS


# The caret is the bar. Keys pressed, from what is in the field, to what is in it then.
EDITS = [
    ("8916|", "1", "+7 916 1|"),
    ("+7 916 123|", "4", "+7 916 123-4|"),
    ("+7 91|6 123-45", "5", "+7 915| 612-34-5"),
    ("+7 916 123-4|", "Backspace", "+7 916 123|"),
    ("+7 916 |123-45", "Backspace", "+7 916| 123-45"),
    ("+7 916| 123-45", "Backspace", "+7 91|1 234-5"),
    ("+7 916 |123-45-67", "Delete", "+7 916| 234-56-7"),
    ("+7|", "Backspace", "+|"),
    ("+|", "Backspace", "|"),
    ("+44 74|00 1", "5", "+44 745|00 1"),
    ("91612345|6", "7", "+7 916 123-45-7|6"),
]


async def test_the_caret_stays_where_the_visitor_types(visitor: Visitor) -> None:
    await visitor.visit()
    await visitor.open()
    got = []
    for before, key, _ in EDITS:
        await visitor.number.evaluate(
            "(field, [text, at]) => { field.value = text; field.setSelectionRange(at, at) }",
            [before.replace("|", ""), before.index("|")],
        )
        await visitor.page.keyboard.press(key)
        text, at = await visitor.number.evaluate("field => [field.value, field.selectionStart]")
        got.append((before, key, text[:at] + "|" + text[at:]))
    assert got == EDITS


async def test_a_whole_number_can_be_erased_by_one_key(visitor: Visitor) -> None:
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
