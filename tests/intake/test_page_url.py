"""The URL of the visitor's page: its validation, its origin, and where a long one is cut."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.intake.page_url import MOST_CHARACTERS, active_page, page_address

SHOP = "https://shop.example"


def ours(origin: str) -> bool:
    return origin == SHOP


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example",
        "https://shop.example/",
        "http://127.0.0.1:8001/shop",
        "http://[::1]:8001/shop",
        "https://shop.example/a?utm_source=a&utm_term=%D0%BF#price",
        "HTTPS://Shop.Example/A",
        "https://магазин.рф/путь?q=да",
        "https://shop.example/~a/(b)/a\\b?c=[1]",
    ],
)
def test_a_web_url_is_unchanged(text: str) -> None:
    assert page_address(text) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "null",
        "/shop",
        "shop.example/a",
        "//shop.example/a",
        "https:shop.example",
        "https:///a",
        "https://",
        "ftp://shop.example/",
        "javascript:alert(1)",
        "javascript://shop.example/%0aalert(1)",
        "data:text/html,a",
        "file:///etc/passwd",
        "https://user@shop.example/",
        "https://user:secret@shop.example/",
        "https://@shop.example/",
        "https://shop.example:/",
        "https://shop.example:0/",
        "https://shop.example:99999/",
        "https://shop.example:٨٠/",
        "https://[shop.example]/",
        "https://[::1/",
        "https://shop%2Eexample/",
        "https://evil.test\\.shop.example/",
        "https://shop.exam\N{ZERO WIDTH JOINER}ple/",
        "https://shop.example／evil/",
        "https://" + "я" * 300 + ".рф/",
        "https://я" + "\N{COMBINING ACUTE ACCENT}" * 3000,
    ],
)
def test_any_other_text_is_no_page_url(text: str | None) -> None:
    assert page_address(text) is None


@pytest.mark.parametrize(
    "character", ["\x00", "\n", "\r", "\t", " ", "\x7f", "\x85", "\xa0", "\u2028", "\u202e", "\u200b", "\ud800"]
)
def test_a_url_with_a_control_space_or_invisible_character_is_refused(character: str) -> None:
    assert page_address(f"https://shop.example/a{character}b") is None
    assert page_address(f"{character}https://shop.example/a") is None


def test_a_long_url_is_cut() -> None:
    text = "https://shop.example/" + "a" * 5000
    assert page_address(text) == text[:MOST_CHARACTERS]
    assert page_address(text[:MOST_CHARACTERS]) == text[:MOST_CHARACTERS]


@pytest.mark.parametrize("shift", range(12))
@pytest.mark.parametrize("letter", ["%D0%BF", "%e2%82%ac", "%F0%9F%98%80", "%20"])
def test_a_long_url_is_not_cut_within_an_escaped_character(shift: int, letter: str) -> None:
    start = "https://shop.example/" + "a" * shift
    cut = page_address(start + letter * 1000)
    assert cut is not None
    assert MOST_CHARACTERS - len(letter) < len(cut) <= MOST_CHARACTERS
    assert (len(cut) - len(start)) % len(letter) == 0


def test_a_long_url_is_not_cut_between_a_letter_and_its_accent() -> None:
    start = "https://shop.example/".ljust(MOST_CHARACTERS - 1, "a")
    assert page_address(start + "e\N{COMBINING ACUTE ACCENT}\N{COMBINING CEDILLA}") == start


def test_a_stray_escape_after_the_cut_removes_no_letter() -> None:
    kept = "https://shop.example/".ljust(MOST_CHARACTERS - 4, "a") + "%D0a"
    assert page_address(kept + "%BF") == kept


def test_escapes_that_are_no_utf_8_are_cut_as_well() -> None:
    cut = page_address("https://shop.example/" + "%80" * 1000)
    assert cut is not None
    assert MOST_CHARACTERS - 12 <= len(cut) <= MOST_CHARACTERS


@settings(deadline=None)
@given(st.text("aя%D0BF8é\N{COMBINING ACUTE ACCENT}/?#&=", min_size=40, max_size=80))
def test_a_cut_url_is_a_prefix_of_the_whole(tail: str) -> None:
    text = "https://shop.example/".ljust(MOST_CHARACTERS - 30, "a") + tail
    cut = page_address(text)
    assert cut is not None
    assert text.startswith(cut)
    assert len(cut) <= MOST_CHARACTERS
    assert page_address(cut) == cut


@settings(deadline=None)
@given(st.text(st.characters(), max_size=200).map("https://shop.example/".__add__) | st.text(st.characters()))
def test_any_text_is_a_page_url_or_none(text: str) -> None:
    page = page_address(text)
    if page is not None:
        assert urlsplit(page).scheme in {"http", "https"}
        assert page.isprintable()
        assert page.encode()


def test_the_page_that_the_widget_submitted_comes_first() -> None:
    page = "https://shop.example/cart?utm_source=a#pay"
    assert active_page(page, "https://shop.example/", SHOP, ours) == page


@pytest.mark.parametrize(
    "submitted",
    [
        None,
        "",
        "cart",
        "https://shop.example.evil.test/cart",
        "https://shop.example:444/cart",
        "http://shop.example/cart",
        "https://shop.example@evil.test/cart",
        "javascript:alert(1)",
    ],
)
def test_the_referer_replaces_a_page_that_is_not_the_sites(submitted: str | None) -> None:
    referer = "https://shop.example/catalogue?page=2"
    assert active_page(submitted, referer, SHOP, ours) == referer


@pytest.mark.parametrize("referer", [None, "", "https://evil.test/", "about:blank"])
def test_the_origin_replaces_a_referer_that_is_not_the_sites(referer: str | None) -> None:
    assert active_page("https://evil.test/", referer, SHOP, ours) == SHOP


@pytest.mark.parametrize("origin", [None, "null", "https://evil.test", ""])
def test_there_is_no_page_if_no_candidate_is_the_sites(origin: str | None) -> None:
    assert active_page(None, "https://evil.test/", origin, ours) is None


def test_the_chosen_page_is_cut() -> None:
    assert len(active_page(f"{SHOP}/{'a' * 5000}", None, None, ours) or "") == MOST_CHARACTERS


@pytest.mark.parametrize(
    ("page", "origin"),
    [
        ("HTTPS://Shop.Example:443/a", "https://shop.example"),
        ("https://shop.example?a", "https://shop.example"),
        ("https://shop.example:8443#a", "https://shop.example:8443"),
        ("http://shop.example:80/", "http://shop.example"),
        ("http://shop.example:443/", "http://shop.example:443"),
        ("https://магазин.рф/путь", "https://xn--80aairftm.xn--p1ai"),
        ("https://МАГАЗИН.рф:8443/", "https://xn--80aairftm.xn--p1ai:8443"),
        ("http://[::1]:8001/", "http://[::1]:8001"),
        ("http://[2001:DB8::1]/", "http://[2001:db8::1]"),
    ],
)
def test_a_url_is_checked_by_its_origin_as_browsers_serialise_it(page: str, origin: str) -> None:
    checked: list[str] = []
    assert active_page(page, None, None, lambda text: checked.append(text) or True) == page
    assert checked == [origin]
