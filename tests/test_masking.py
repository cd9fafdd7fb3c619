"""Masking of phone numbers in logs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.logs import mask_phone


@pytest.mark.parametrize(
    ("digits", "masked"),
    [
        ("79161234567", "***67"),
        ("+79161234567", "***67"),
        ("375291234567", "***67"),
        ("441632960961", "***61"),
        ("1234567890", "***90"),
        ("49123456", "***56"),
        ("12345", "***5"),
        ("112", "***"),
        ("", "***"),
    ],
)
def test_at_most_the_last_two_digits_of_a_number_are_shown(digits: str, masked: str) -> None:
    assert mask_phone(digits) == masked


@given(st.text(st.sampled_from("0123456789"), max_size=15))
def test_at_most_a_quarter_and_two_digits_of_any_number_are_shown(digits: str) -> None:
    shown = mask_phone(digits).removeprefix("***")
    assert len(shown) <= min(2, len(digits) / 4)
    assert digits.endswith(shown)
