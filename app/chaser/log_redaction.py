"""Redaction of the HTTP library's log records about requests to Chaser.

At DEBUG httpcore2 logs the headers of every response and the text of every protocol error. Both can echo our request,
for example a Location with our signature. Raising the level of its loggers would silence them for the whole program.
So a filter reduces the records made during one of our requests to the name of the event, for example
`receive_response_headers.complete`. (httpx2 logs whole URLs at INFO, but only in its client class, and this package
uses the transport below it.)
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LOGGERS = tuple(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))

_in_request = ContextVar("in_chaser_request", default=False)


class EventNameOnly(logging.Filter):
    """Reduces records made during one of our requests to their first word; passes all others unchanged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True: no record is dropped."""
        if _in_request.get():
            record.msg = record.getMessage().partition(" ")[0]
            record.args = None
        return True


@contextmanager
def redact_logs() -> Iterator[None]:
    """Redact records made by the enclosed code and the tasks it starts."""
    token = _in_request.set(True)
    try:
        yield
    finally:
        _in_request.reset(token)


_filter = EventNameOnly()
for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_filter)
