"""Blocklist entries: the accepted formats of phones, addresses and networks."""

import pytest

from app.errors import UnprocessableContentError
from app.intake.blocklist_entry import read_entry


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("+7 (916) 123-45-67", "79161234567"),
        ("+79161234567", "79161234567"),
        ("+44 7911 123456", "447911123456"),
        ("203.0.113.7", "203.0.113.7/32"),
        (" 203.0.113.77/24 ", "203.0.113.0/24"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
    ],
)
def test_phones_addresses_and_networks_are_parsed(text: str, entry: str) -> None:
    assert read_entry(text) == entry


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_format"),
        ("shop.example", "invalid_format"),
        ("79161234567", "invalid_format"),
        ("9161234567", "invalid_format"),
        ("+7 (8) 916 123-45-67", "invalid_format"),
        ("+44 (0) 7911 123456", "invalid_format"),
        ("fe80::1%eth0", "invalid_format"),
        ("9161", "invalid_format"),
        ("8 916 123-45-67-89-00-11", "invalid_format"),
        ("0161234567", "invalid_format"),
        ("203.0.113.0/33", "invalid_format"),
        ("::ffff:203.0.113.7", "invalid_format"),
        ("0.0.0.0/0", "too_wide"),
        ("10.0.0.0/7", "too_wide"),
        ("2000::/3", "too_wide"),
    ],
)
def test_any_other_text_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(UnprocessableContentError) as refused:
        read_entry(text)
    assert [error.code for error in refused.value.errors] == [code]


def test_an_entry_may_be_removed_in_its_listed_form() -> None:
    assert read_entry("79161234567", listed=True) == "79161234567"
    assert read_entry("+79161234567", listed=True) == "79161234567"
    assert read_entry("203.0.113.0/24", listed=True) == "203.0.113.0/24"
