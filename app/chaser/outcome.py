"""Says what an exchange with Chaser proves; pure.

The rule, in order: the status decides if there is one, whatever happened to the rest of the answer. Without a status
it matters only whether the request's body had been asked for by then: before that not one parameter of a `call` has
left this machine, so nobody can have been phoned; after it everything is possible.
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
"""How much of every body is kept for people to read."""

_BY_STATUS: dict[int, tuple[type[ChaserError], str]] = {
    401: (Unauthorized, "the signature or the account is wrong"),
    403: (Forbidden, "the account may not do this"),
    404: (NotFound, "there is no such object"),
    429: (Unavailable, "too many requests"),
}


@dataclass(slots=True)
class Exchange:
    """What is known of one request, filled in as it happens. Its `repr` shows nothing of the far side's words."""

    sent: bool = False
    """Whether the body of the request has been asked for: it may have left from then on."""
    status: int | None = None
    retry_after: float | None = None
    """Seconds, read from the Retry-After header."""
    body: bytearray = field(default_factory=bytearray, repr=False)
    """The answer's body, as far as it was wanted and came."""
    complete: bool = False
    """Whether the body came to its proper end."""
    failure: str = ""
    """What broke the exchange off, in words that hold no data of the request or the answer."""
    duration: float = 0.0
    """Seconds, from before connecting to the end."""

    @property
    def body_excerpt(self) -> str:
        """The first 2 KiB of the body as text."""
        return excerpt(bytes(self.body[:EXCERPT_BYTES]))


def error_of(exchange: Exchange) -> ChaserError | None:
    """Return what the exchange means as an error, or None if the status is 200."""
    status = exchange.status
    if status == 200:
        return None
    if status is None and not exchange.sent:
        return _error(NotSent, f"not sent: {exchange.failure}", exchange)
    if status is None:
        return _error(OutcomeUnknown, f"sent, but no answer came: {exchange.failure}", exchange)
    if status in _BY_STATUS:
        kind, meaning = _BY_STATUS[status]
        return _error(kind, f"{status}: {meaning}", exchange)
    if status == 503 and exchange.retry_after is not None:
        return _error(Unavailable, f"{status}: unavailable, with a time to come back at", exchange)
    if 400 <= status < 500:
        return _error(Rejected, f"{status}: the request was rejected", exchange)
    return _error(OutcomeUnknown, f"{status}: an answer that does not say whether it was executed", exchange)


def unreadable(exchange: Exchange) -> UnreadableAnswer:
    """Return the error for a 200 whose body is not the answer it should be."""
    reason = exchange.failure or ("not as documented" if exchange.complete else "cut")
    return _error(UnreadableAnswer, f"200, but the answer cannot be read: {reason}", exchange)


def excerpt(body: bytes) -> str:
    """Return the first 2 KiB as text, undecodable bytes as U+FFFD, without half a character at the end.

    NUL becomes U+FFFD too: databases refuse it, and a delivered call must not fail to be written down.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return decoder.decode(body[:EXCERPT_BYTES]).replace("\x00", "\ufffd")


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds or a date, which is counted from `now` (with a zone).

    Returns seconds, at least 0, or None if there is no header or nothing to be read in it.
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
