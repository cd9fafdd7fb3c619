"""Masking of phone numbers in logs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.logs import mask_phone


@pytest.mark.parametrize(
    ("digits", "masked"),
    [
        ("79161234567", "+7916***4567"),
        ("+79161234567", "+7916***4567"),
        ("375291234567", "+3752***4567"),
        ("49123456", "+49***56"),
        ("112", "+***"),
        ("", "+***"),
    ],
)
def test_a_phone_number_is_masked_for_the_logs(digits: str, masked: str) -> None:
    assert mask_phone(digits) == masked


@given(st.text(st.sampled_from("0123456789"), max_size=10))
def test_at_most_half_of_a_short_number_is_shown(digits: str) -> None:
    assert sum(map(str.isdigit, mask_phone(digits))) * 2 <= len(digits)
