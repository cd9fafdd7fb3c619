"""Web origins of a site: settings are parsed into the browser's form, and no look-alike origin passes."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware

from app.net.origins import NO_ORIGIN, OriginPattern, Origins, parse_origin_pattern, union_regex

SITE = Origins(["https://shop.example", "http://127.0.0.1:8001", "https://*.shop.example", "https://*.b.example:8443"])

LOOK_ALIKES = [
    "null",
    "",
    "*",
    "https://",
    "https://shop.example.evil.test",
    "https://evilshop.example",
    "https://shopxexample",
    "https://a.shopxexample",
    "https://shop.example:444",
    "https://shop.example:443",
    "https://shop.example:",
    "https://shop.example.",
    "https://shop.example/",
    "https://a.shop.example/",
    "https://shop.example?",
    "http://shop.example",
    "http://a.shop.example",
    "HTTPS://shop.example",
    "https://SHOP.example",
    "https://A.shop.example",
    "https://user@shop.example",
    "https://user:a.shop.example",
    "https://evil.test#.shop.example",
    "https://evil.test/.shop.example",
    "https://evil.test\\.shop.example",
    "https://evil.test:80.shop.example",
    "https://.shop.example",
    "https://a..shop.example",
    "https://*.shop.example",
    "https://-a.shop.example",
    "https://a b.shop.example",
    "https://я.shop.example",
    "https://ａ.shop.example",
    "https://a.shop.example.",
    "https://a.shop.example:443",
    "https://shop.example\n",
    "https://a.shop.example\n",
    "\nhttps://shop.example",
    "https://a\n.shop.example",
    "https://a.shop.example\r\nX: y",
    "https://shop.example\x00",
    "https://a\x00.shop.example",
    " https://shop.example",
    "https://shop.example https://evil.test",
    "https://shop.example, https://evil.test",
    "http://127.0.0.1",
    "http://127.0.0.1:80010",
    "http://127x0.0.1:8001",
    "https://b.example:8443",
    "https://a.b.example",
    "https://" + "a" * 64 + ".shop.example",
    "https://" + "a." * 125 + "shop.example",
    "https://" + "a." * 500_000 + "shop.example",
    "https://" + "a" * 1_000_000,
]


def cors_allows(regex: str, origin: str) -> bool:
    return CORSMiddleware(Starlette(), allow_origin_regex=regex).is_allowed_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "http://127.0.0.1:8001",
        "https://a.shop.example",
        "https://www.a-b.c_d.shop.example",
        "https://xn--80aairftm.shop.example",
        "https://" + "a" * 63 + ".shop.example",
        "https://1.b.example:8443",
    ],
)
def test_the_sites_origins_are_allowed(origin: str) -> None:
    assert SITE.allows(origin)
    assert cors_allows(union_regex([SITE]), origin)


@pytest.mark.parametrize("origin", LOOK_ALIKES, ids=lambda origin: repr(origin[:40]))
def test_a_look_alike_is_refused(origin: str) -> None:
    assert not SITE.allows(origin)
    assert not cors_allows(union_regex([SITE]), origin)


def test_a_wildcard_does_not_allow_the_host_itself() -> None:
    assert not Origins(["https://*.shop.example"]).allows("https://shop.example")


def test_no_patterns_allow_nothing() -> None:
    assert union_regex([]) == union_regex([Origins([])]) == NO_ORIGIN
    assert not Origins([]).allows("")
    assert not cors_allows(NO_ORIGIN, "")
    assert not cors_allows(NO_ORIGIN, "https://shop.example")


def test_one_regular_expression_matches_the_origins_of_several_sites() -> None:
    regex = union_regex([Origins(["https://a.example"]), Origins([]), Origins(["https://*.b.example"])])
    assert cors_allows(regex, "https://a.example")
    assert cors_allows(regex, "https://x.b.example")
    assert not cors_allows(regex, "https://b.example")
    assert not cors_allows(regex, "https://x.a.example")


@settings(deadline=None)
@given(
    st.one_of(
        st.text(st.characters()),
        st.from_regex(re.compile(union_regex([SITE]))),
        st.lists(
            st.sampled_from(
                ["https://", "http://", "a", ".", "shop", "example", "b", ":8443", ":", "-", "\n", "A", "/"]
            )
        ).map("".join),
    )
)
def test_the_regular_expression_and_the_check_agree_on_any_text(origin: str) -> None:
    assert SITE.allows(origin) is cors_allows(union_regex([SITE]), origin)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("https://shop.example", OriginPattern("https", "shop.example", None, wildcard=False)),
        ("https://shop.example/", OriginPattern("https", "shop.example", None, wildcard=False)),
        ("HTTPS://Shop.Example:443", OriginPattern("https", "shop.example", None, wildcard=False)),
        ("http://shop.example:80", OriginPattern("http", "shop.example", None, wildcard=False)),
        ("http://shop.example:443", OriginPattern("http", "shop.example", 443, wildcard=False)),
        ("http://localhost:08001", OriginPattern("http", "localhost", 8001, wildcard=False)),
        ("http://[0:0::1]:8001", OriginPattern("http", "[::1]", 8001, wildcard=False)),
        ("https://*.Shop.example", OriginPattern("https", "shop.example", None, wildcard=True)),
        ("https://магазин.рф", OriginPattern("https", "xn--80aairftm.xn--p1ai", None, wildcard=False)),
        ("https://*.МАГАЗИН.рф:8443", OriginPattern("https", "xn--80aairftm.xn--p1ai", 8443, wildcard=True)),
        ("https://straße.example", OriginPattern("https", "xn--strae-oqa.example", None, wildcard=False)),
    ],
)
def test_a_setting_is_normalised_to_the_browsers_form(text: str, pattern: OriginPattern) -> None:
    assert parse_origin_pattern(text) == pattern
    assert parse_origin_pattern(str(pattern)) == pattern


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("*", "list the site's origins"),
        ("null", "serve the page over https"),
        ("", "write one with its scheme"),
        ("shop.example", "write one with its scheme"),
        ("//shop.example", "write one with its scheme"),
        ("ftp://shop.example", "write one with its scheme"),
        ("httpſ://shop.example", "write one with its scheme"),
        (" https://shop.example", "write one with its scheme"),
        ("https://shop.example\n", "write one with its scheme"),
        ("https://shop example", "as the browser's address bar shows it"),
        ("https://shop\ud800.example", "write one with its scheme"),
        ("https://shop.example/cart", "an origin ends after the host and port"),
        ("https://shop.example:8443/cart", "an origin ends after the host and port"),
        ("https://shop.example//", "an origin ends after the host and port"),
        ("https://shop.example?a", "an origin ends after the host and port"),
        ("https://shop.example#a", "an origin ends after the host and port"),
        ("https://shop.example\\", "an origin ends after the host and port"),
        ("https://user@shop.example", "write only the scheme, host and port"),
        ("https://user:secret@shop.example", "write only the scheme, host and port"),
        ("https://*", "it may only be the first label"),
        ("https://a.*.example", "it may only be the first label"),
        ("https://*shop.example", "it may only be the first label"),
        ("https://*.*.shop.example", "it may only be the first label"),
        ("https://*.ru", "write at least two labels after"),
        ("https://*.рф", "write at least two labels after"),
        ("https://*.localhost", "write at least two labels after"),
        ("https://*.127.0.0.1", "write at least two labels after"),
        ("https://shop.example.", "leave the dot out"),
        ("https://shop.example:", "write one from 1 to 65535"),
        ("https://shop.example:0", "write one from 1 to 65535"),
        ("https://shop.example:65536", "write one from 1 to 65535"),
        ("https://shop.example:000443", "write one from 1 to 65535"),
        ("https://shop.example:https", "write one from 1 to 65535"),
        ("https://:443", "as the browser's address bar shows it"),
        ("https://*.", "leave the dot out|as the browser's address bar shows it"),
        ("https://a..example", "as the browser's address bar shows it"),
        ("https://-a.example", "as the browser's address bar shows it"),
        ("https://" + "a" * 64 + ".example", "as the browser's address bar shows it"),
        ("https://" + "a." * 130 + "example", "as the browser's address bar shows it"),
        ("http://127.1", "as the browser's address bar shows it"),
        ("http://0x7f000001", "as the browser's address bar shows it"),
        ("http://[::ffff:127.0.0.1]", "as the browser's address bar shows it"),
        ("http://[fe80::1%eth0]", "as the browser's address bar shows it"),
        ("http://[shop]", "as the browser's address bar shows it"),
        ("https://☃.example", "as the browser's address bar shows it"),
    ],
)
def test_a_setting_that_is_no_safe_origin_is_refused_with_the_fix(text: str, fix: str) -> None:
    with pytest.raises(ValueError, match=fix):
        parse_origin_pattern(text)


def test_a_password_in_a_setting_is_not_echoed() -> None:
    with pytest.raises(ValueError, match="password") as caught:
        parse_origin_pattern("https://user:hunter2@shop.example")
    assert "hunter2" not in str(caught.value)


@settings(deadline=None)
@given(st.text(st.characters()).map("https://".__add__) | st.text("https:/*.[]abAя1:@?#-_ ") | st.text(st.characters()))
def test_any_setting_is_a_pattern_that_parses_again_or_a_value_error(text: str) -> None:
    try:
        pattern = parse_origin_pattern(text)
    except ValueError:
        return
    assert parse_origin_pattern(str(pattern)) == pattern
    assert Origins([text]).allows(str(pattern)) is not pattern.wildcard


@pytest.mark.parametrize(
    ("origin", "trusted"),
    [
        ("https://shop.example", True),
        ("https://*.shop.example", True),
        ("http://localhost:8001", True),
        ("http://shop.localhost", True),
        ("http://127.0.0.1:8001", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8001", True),
        ("http://shop.example", False),
        ("http://127.0.0.1.example", False),
        ("http://192.168.0.1", False),
        ("http://notlocalhost", False),
    ],
)
def test_browsers_trust_https_and_loopback(origin: str, trusted: bool) -> None:
    assert parse_origin_pattern(origin).is_trusted is trusted
