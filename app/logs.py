"""Logs: one JSON line per event on standard output, with the request's id and without personal data or secrets."""

import logging
import logging.config
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# These write whole URLs or statements at INFO or DEBUG: addresses, telephone numbers and signatures among them.
_TALKATIVE = ("httpx2", "httpcore2", "sqlalchemy", "alembic", "asyncio")


class _Formatter(JsonFormatter):
    """Name the event ``event``, add the request id, and tell of an exception its place but never its text.

    The text of an exception can hold what a visitor typed (pydantic) or the values of a statement (SQLAlchemy).
    """

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        if (current := request_id.get()) is not None:
            log_data.setdefault("request_id", current)
        if record.name == "asyncio":
            # Behind the first line of what it reports stands the task, with the text of its exception.
            log_data["event"] = str(log_data["event"]).partition("\n")[0]

    def formatException(self, ei: Any) -> str:  # noqa: N802  # the name is logging's
        kind, _, trace = ei
        return f"{kind.__name__ if kind else 'Exception'} at {_places(trace)}"


def _places(trace: TracebackType | None) -> str:
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('site-packages/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " > ".join(places)


def configure_logging(level: str = "INFO") -> None:
    """Send every logger of the process through one JSON formatter. ``level`` is for our own events.

    So go Python's warnings, and exceptions that nobody caught, whose text would otherwise stand in the output.
    """
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": _Formatter,
                    "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
                    "rename_fields": {
                        "asctime": "time",
                        "levelname": "level",
                        "name": "logger",
                        "message": "event",
                        "exc_info": "exception",
                    },
                    "datefmt": "%Y-%m-%dT%H:%M:%S%z",
                    "json_ensure_ascii": True,
                    "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
                }
            },
            "handlers": {
                "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}
            },
            "root": {"level": "WARNING", "handlers": ["stdout"]},
            "loggers": {
                "app": {"level": level},
                "uvicorn": {"level": "INFO", "handlers": [], "propagate": True},
                "uvicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
                "uvicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
            }
            | {name: {"level": "WARNING"} for name in _TALKATIVE}
            # It warns of each request over a limit, with the client's address.
            | {"slowapi": {"level": "ERROR"}},
        }
    )

    # No line tells these, and each record would look them up.
    for asked in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, asked, False)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda lost: _uncaught(lost.exc_type, lost.exc_value, lost.exc_traceback)
    sys.unraisablehook = lambda lost: _uncaught(lost.exc_type, lost.exc_value, lost.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        told = (kind, error or kind(), trace)
        logging.getLogger(__name__).critical("process.uncaught_exception", exc_info=told)


def event(logger: logging.Logger, name: str, /, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event. Field values must hold no personal data: give telephone numbers through mask_phone."""
    if logger.isEnabledFor(level):
        # As logger.log() does it, without looking through the stack for the line it was called from, which isn't told.
        extra = _without_clashes(fields)
        logger.handle(logger.makeRecord(logger.name, level, "", 0, name, (), None, extra=extra))


# logging refuses extra fields named like its own ("name", "module", "created"…).
_RESERVED = frozenset((*logging.makeLogRecord({}).__dict__, "message", "asctime"))


def _without_clashes(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}_" if name in _RESERVED else name: value for name, value in fields.items()}


def mask_phone(digits: str) -> str:
    """Give a number as logs may show it: `79161234567` as `+7916***4567`, fewer than 11 digits half hidden or more."""
    bare = digits.removeprefix("+")
    shown = 4 if len(bare) >= 11 else len(bare) // 4
    return f"+{bare[:shown]}***{bare[len(bare) - shown :]}"
