"""The outcome of an exchange with Chaser: whether the request was sent and executed. Pure.

If there is a status, it decides, even if the rest of the response is lost. Without a status it depends on whether the
transport had read the request's body. If not, no parameter of a `call` has left this machine, so no phone can ring.
Otherwise the call may have been executed.
"""

import codecs
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from .chaser_errors import (
    ChaserError,
    Forbidden,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Unauthorized,
    Unavailable,
    UnreadableAnswer,
)

_Kind = TypeVar("_Kind", bound=ChaserError)

EXCERPT_BYTES = 2048
"""Largest part of a response body that is kept for operators, in bytes."""

_BY_STATUS: dict[int, tuple[type[ChaserError], str]] = {
    401: (Unauthorized, "the signature or the account is wrong"),
    403: (Forbidden, "the account may not do this"),
    404: (NotFound, "there is no such object"),
    429: (Unavailable, "too many requests"),
}


@dataclass(slots=True)
class Exchange:
    """The state of one request, filled in as it proceeds. Its `repr` contains no part of the response's body."""

    sent: bool = False
    """Whether the transport has read the request's body. From then on it may have been sent."""
    status: int | None = None
    retry_after: float | None = None
    """The Retry-After header in seconds."""
    body: bytearray = field(default_factory=bytearray, repr=False)
    """The response's body, as far as it was received."""
    complete: bool = False
    """Whether the body was received to its end."""
    failure: str = ""
    """Why the exchange was aborted, without any data of the request or the response; empty if it was not."""
    duration: float = 0.0
    """Seconds from before connecting to the end."""

    @property
    def body_excerpt(self) -> str:
        """The first 2 KiB of the body, undecodable bytes as U+FFFD, without a truncated character at the end.

        NUL becomes U+FFFD too: PostgreSQL rejects it in text, so the result of a placed call could not be stored.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(bytes(self.body[:EXCERPT_BYTES])).replace("\x00", "\ufffd")


def error_of(exchange: Exchange) -> ChaserError | None:
    """Return the error of a finished exchange, or None if the status is 200."""
    status = exchange.status
    if status == 200:
        return None
    if status is None and not exchange.sent:
        return _error(NotSent, f"not sent: {exchange.failure}", exchange)
    if status is None:
        return _error(OutcomeUnknown, f"sent, but no response was received: {exchange.failure}", exchange)
    if status in _BY_STATUS:
        kind, meaning = _BY_STATUS[status]
        return _error(kind, f"{status}: {meaning}", exchange)
    if status == 503 and exchange.retry_after is not None:
        return _error(Unavailable, f"{status}: unavailable, with Retry-After", exchange)
    if 400 <= status < 500:
        return _error(Rejected, f"{status}: the request was rejected", exchange)
    return _error(OutcomeUnknown, f"{status}: the response does not prove whether it was executed", exchange)


def unreadable(exchange: Exchange) -> UnreadableAnswer:
    """Return the error of a 200 whose body cannot be parsed."""
    reason = exchange.failure or ("not as documented" if exchange.complete else "cut")
    return _error(UnreadableAnswer, f"200, but the response cannot be read: {reason}", exchange)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Parse a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date relative to `now` (with a time zone).

    Returns seconds, at least 0, or None if the header is missing or invalid.
    """
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,10}", value, re.ASCII):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, OverflowError):
        return None


def _error(kind: type[_Kind], message: str, exchange: Exchange) -> _Kind:
    return kind(
        message,
        status=exchange.status,
        body_excerpt=exchange.body_excerpt,
        retry_after=exchange.retry_after,
        duration=exchange.duration,
    )
