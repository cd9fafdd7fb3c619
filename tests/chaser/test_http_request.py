"""The request passed to the transport."""

from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chaser import InvalidParameter
from app.chaser.http_request import build_request, parse_base_url, trace_connections
from app.chaser.outcome import Exchange
from app.chaser.signing import request_body


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.chaser.ru/v1/",
        "ftp://api.chaser.ru/v1/",
        "file:///etc/passwd",
        "https://",
        "https:///v1/",
        "https://user:password@api.chaser.ru/v1/",
        "https://api.chaser.ru/v1/?a=b",
        "https://api.chaser.ru/v1/?",
        "https://api.chaser.ru/v1/#top",
        "https://api.chaser.ru:0/",
        "https://api.chaser.ru:65536/",
        "https://999.1.1.1/",
        "https://api.chaser.ru/\n",
    ],
)
def test_a_url_that_cannot_be_used_is_rejected(url: str):
    with pytest.raises(InvalidParameter, match=r"^api_url: "):
        parse_base_url(url)


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("https://api.chaser.ru/v1/", "https://api.chaser.ru/v1/"),
        ("https://api.chaser.ru/v1", "https://api.chaser.ru/v1/"),
        ("https://api.chaser.ru/v1///", "https://api.chaser.ru/v1/"),
        ("https://api.chaser.ru", "https://api.chaser.ru/"),
        ("http://[::1]:8001/v1", "http://[::1]:8001/v1/"),
        ("HTTP://Пример.рф/", "http://xn--e1afmkfd.xn--p1ai/"),
    ],
)
def test_a_base_url_ends_with_exactly_one_slash(url: str, base_url: str):
    assert str(parse_base_url(url)) == base_url


def test_the_host_header_contains_the_port_and_the_brackets_of_ipv6():
    request = build_request(
        Exchange(),
        trace_connections(AsyncExitStack()),
        parse_base_url("http://[::1]:8001/v1"),
        "GET",
        "websites",
        b"a=1",
    )
    assert request.headers["Host"] == "[::1]:8001"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_signed_query_is_not_encoded_a_second_time(name: str, value: str):
    signed = request_body([("x" + name, value)], "4711", "key")
    request = build_request(
        Exchange(),
        trace_connections(AsyncExitStack()),
        parse_base_url("https://h.example/v1"),
        "GET",
        "websites",
        signed,
    )
    assert request.url.raw_path == b"/v1/websites?" + signed


async def test_only_reading_the_body_counts_as_sending():
    exchange = Exchange()
    request = build_request(
        exchange, trace_connections(AsyncExitStack()), parse_base_url("https://h.example/"), "POST", "call", b"a=1"
    )
    assert not exchange.sent
    assert await request.aread() == b"a=1"
    assert exchange.sent


async def test_reading_the_empty_body_of_a_get_counts_as_sending_too():
    exchange = Exchange()
    request = build_request(
        exchange, trace_connections(AsyncExitStack()), parse_base_url("https://h.example/"), "GET", "websites", b"a=1"
    )
    assert await request.aread() == b""
    assert exchange.sent
    assert "Content-Length" not in request.headers
