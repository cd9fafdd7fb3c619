"""Escaping of text that a spreadsheet would run as a formula."""

from typing import Any

import pytest

from app.cli.spreadsheet import escape_formula


@pytest.mark.parametrize("text", ["=1+1", "+7 916", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_text_that_begins_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", ["shop", "1=1", "", -1, None, 79161234567, "'=1"])
def test_any_other_value_stays_unchanged(value: Any) -> None:
    assert escape_formula(value) == value
