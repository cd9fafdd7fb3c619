"""Errors of exchanges, excerpts of bodies and Retry-After."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chaser import NotSent, OutcomeUnknown, Unavailable
from app.chaser.outcome import Exchange, error_of, retry_after_seconds, unreadable

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@given(st.integers(100, 999), st.booleans(), st.booleans(), st.none() | st.floats(0, 1e6))
def test_every_status_except_200_is_an_error_with_that_status(
    status: int, sent: bool, complete: bool, retry_after: float | None
):
    exchange = Exchange(sent=sent, status=status, complete=complete, retry_after=retry_after, duration=1.5)
    error = error_of(exchange)
    if status == 200:
        assert error is None
        return
    assert error is not None
    assert (error.status, error.retry_after, error.duration) == (status, retry_after, 1.5)
    assert not isinstance(error, NotSent)
    assert isinstance(error, OutcomeUnknown) == (
        not 400 <= status < 500 and not (status == 503 and retry_after is not None)
    )
    assert isinstance(error, Unavailable) == (status == 429 or (status == 503 and retry_after is not None))


@pytest.mark.parametrize(("sent", "kind"), [(False, NotSent), (True, OutcomeUnknown)])
def test_without_a_status_the_error_depends_on_whether_the_body_was_read(sent: bool, kind: type[Exception]):
    error = error_of(Exchange(sent=sent, failure="ReadError"))
    assert type(error) is kind
    assert "ReadError" in str(error)


@pytest.mark.parametrize(
    ("exchange", "reason"),
    [
        (Exchange(status=200, complete=True), "not as documented"),
        (Exchange(status=200), "cut"),
        (Exchange(status=200, failure="ReadError"), "ReadError"),
    ],
)
def test_an_unreadable_response_names_the_reason(exchange: Exchange, reason: str):
    assert str(unreadable(exchange)).endswith(reason)


def test_the_repr_of_an_exchange_contains_nothing_of_the_body():
    assert "canary" not in repr(Exchange(status=200, body=bytearray(b"canary")))


def test_an_excerpt_has_at_most_two_kibibytes_and_no_truncated_character():
    assert Exchange(body=bytearray(b"x" + "ы".encode() * 5000)).body_excerpt == "x" + "ы" * 1023


@given(st.binary(max_size=5000))
def test_an_excerpt_is_always_text_that_a_database_accepts(body: bytes):
    text = Exchange(body=bytearray(body)).body_excerpt
    assert "\x00" not in text
    text.encode()
    assert len(text) <= 2048


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9999999999", 9999999999.0),
        ("10000000000", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thursday, 01-Jan-26 12:00:30 GMT", 30.0),
        ("Thu Jan  1 12:00:30 2026", 30.0),
        ("Thu, 01 Jan 2026 15:00:30 +0300", 30.0),
        ("Thu, 01 Jan 2026 11:59:59 GMT", 0.0),
        ("Fri, 01 Jan 10000 00:00:00 GMT", None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None):
    assert retry_after_seconds(value, NOW) == seconds


@given(st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]?\w+", fullmatch=True))
def test_any_retry_after_is_parsed_or_ignored(value: str):
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or seconds >= 0
