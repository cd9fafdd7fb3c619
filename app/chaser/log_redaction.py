"""Keeps what the HTTP library logs about our requests free of what is in them.

At DEBUG httpcore2 writes down the headers of every answer and the text of every protocol error, and both can hold what
the far side echoes: a Location with our signature, say. Raising the level of its loggers would take these lines from
the rest of the program too. So a filter touches only records made while one of our requests runs, and leaves of them
the name of the event: `receive_response_headers.complete`. (httpx2 logs whole URLs at INFO, but only in its client
class; this package uses the transport below it.)
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LOGGERS = tuple(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))

_ours = ContextVar("chaser_request_runs", default=False)


class EventNameOnly(logging.Filter):
    """Cuts a record of ours down to its first word; lets every other record through as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True always: no record is lost."""
        if _ours.get():
            record.msg = record.getMessage().partition(" ")[0]
            record.args = None
        return True


@contextmanager
def quiet() -> Iterator[None]:
    """Mark the enclosed code, and the tasks it starts, as one of our requests."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


_filter = EventNameOnly()
for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_filter)
