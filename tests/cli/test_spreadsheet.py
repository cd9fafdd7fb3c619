"""What a spreadsheet would take for a formula."""

from typing import Any

import pytest

from app.cli.spreadsheet import escape_formula


@pytest.mark.parametrize("text", ["=1+1", "+7 916", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_text_that_begins_like_a_formula_becomes_text(text: str) -> None:
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", ["shop", "1=1", "", -1, None, 79161234567, "'=1"])
def test_everything_else_stays(value: Any) -> None:
    assert escape_formula(value) == value
