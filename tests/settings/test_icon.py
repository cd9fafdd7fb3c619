"""An icon is path data that every browser draws, for a box of 24 by 24."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.settings.icon import parse_icon

VALID = {
    "the widget's own": "M3 5q0-2 2-2h3l2 6-2 2q2 3 5 5l2-2 6 2v3q0 2-2 2A16 16 0 0 1 3 5z",
    "one that begins with a box": "M0 0h24v24H0z",
    "every command": "M1,2L3 4 H5V6C1 2 3 4 5 6 S1 2 3 4Q1 2 3 4T5 6A1 2 30 0 1 5 6z",
    "every command, relative": "m1 2l3-4h5v6c1 2 3 4 5 6s1 2 3 4q1 2 3 4t5 6a1 2 30 1 0 5 6Z",
    "numbers run together": "M1.5.5-1.5.5L.5-.5",
    "flags run together": "M1 2a1 1 0 01.5.5 1 1 0 1012 4",
    "an exponent": "M1e0 2E1l-1.5e-3+4e+0",
    "arguments repeated": "M1 2 3 4 5 6l1 2,3 4",
}
INVALID: dict[str, Any] = {
    "no text": 12,
    "empty": " ",
    "a name": "phone",
    "no initial move": "L1 2z",
    "an incomplete pair": "M1 2 3",
    "an incomplete curve": "M1 2c1 2 3 4 5z",
    "an argument without a command": "M1 2z3",
    "an invalid flag": "M1 2a1 1 0 2 1 5 6",
    "an unknown command": "M1 2b3 4",
    "two commas": "M1,,2",
    "a trailing comma": "M1 2,",
    "an incomplete number": "M1. 2",
    "the whole element": '<path d="M1 2z"/>',
    "the end of the CSS string": 'M1 2z");color:red;x:path("M1 2z',
    "an unknown unit": "M1px 2px",
    "digits of another script": "M١ ٢",
}


@pytest.mark.parametrize("written", VALID.values(), ids=VALID)
def test_valid_path_data_is_unchanged(written: str) -> None:
    assert parse_icon(written) == written


def test_path_data_may_have_several_lines() -> None:
    assert parse_icon("\n  M1 2\n\tL3  4\n") == "M1 2 L3 4"


@pytest.mark.parametrize("written", INVALID.values(), ids=INVALID)
def test_invalid_path_data_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match=re.escape('write the d="…" of an SVG path')):
        parse_icon(written)


@pytest.mark.parametrize("written", ["M25 1z", "M1-1z", "m0 256h512"])
def test_an_icon_for_another_box_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="begins outside the box of 24 by 24"):
        parse_icon(written)


def test_an_icon_has_at_most_2000_characters() -> None:
    assert parse_icon("M1 2" + "h1" * 998)
    with pytest.raises(ValueError, match="at most 2000 characters"):
        parse_icon("M1 2" + "h1" * 999)


@given(st.text("Mmz Aa0149.,-+e\"'()\\;", max_size=30))
@example("M" + "1 " * 5000)
@example("M1 1" + "1" * 50_000 + "x")
@example("M1 1" + "a1 1 0 0 1 1" * 5000)
def test_no_valid_icon_can_end_the_css_string(written: str) -> None:
    try:
        icon = parse_icon(written)
    except ValueError:
        return
    assert re.fullmatch(r"[A-Za-z0-9 .,+-]+", icon)
