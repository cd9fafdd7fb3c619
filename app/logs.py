"""Logs: one JSON line per event on standard output, with the request id and without personal data or secrets."""

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

# These log whole URLs or SQL statements at INFO or DEBUG, with IP addresses, phone numbers and signatures.
_VERBOSE = ("httpx2", "httpcore2", "sqlalchemy", "alembic", "asyncio")

REFUSALS_PER_SECOND = 20
"""Lines about refused requests. Metrics count all of them."""


class _RefusalSampler(logging.Filter):
    """Drops lines about refused requests beyond a number a second. Otherwise a flood would fill the disk.

    The next line says how many were dropped, in its field `suppressed`.
    """

    second, passed, suppressed = 0, 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record."""
        is_refusal = record.msg in ("http.request", "http.refused") and getattr(record, "status", 0) >= 400
        if not is_refusal and (record.name, record.levelno) != ("uvicorn.error", logging.WARNING):
            return True
        if int(record.created) != self.second:
            self.second, self.passed = int(record.created), 0
        self.passed += 1
        if self.passed > REFUSALS_PER_SECOND:
            self.suppressed += 1
            return False
        if self.suppressed:
            record.suppressed, self.suppressed = self.suppressed, 0
        return True


class _Formatter(JsonFormatter):
    """Names the message `event`, adds the request id, and logs the location of an exception without its text.

    The text of an exception can contain a visitor's input (pydantic) or the values of a statement (SQLAlchemy).
    """

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        if (current := request_id.get()) is not None:
            log_data.setdefault("request_id", current)
        if record.name == "asyncio":
            # The lines after the first describe the task, with the text of its exception.
            log_data["event"] = str(log_data["event"]).partition("\n")[0]

    def formatException(self, ei: Any) -> str:  # noqa: N802  # overrides a method of logging
        kind, _, traceback = ei
        return f"{kind.__name__ if kind else 'Exception'} at {_locations(traceback)}"


def _locations(traceback: TracebackType | None) -> str:
    locations = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        locations.append(f"{code.co_filename.rpartition('site-packages/')[2]}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return " > ".join(locations)


def configure_logging(level: str = "INFO") -> None:
    """Configure every logger of the process to use one JSON formatter. `level`: of the service's own events.

    Python's warnings and uncaught exceptions are logged too. Otherwise their text would appear in the output.
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
            "filters": {"refusals": {"()": _RefusalSampler}},
            "handlers": {
                "stdout": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "formatter": "json",
                    "filters": ["refusals"],
                }
            },
            "root": {"level": "WARNING", "handlers": ["stdout"]},
            "loggers": {
                "app": {"level": level},
                "uvicorn": {"level": "INFO", "handlers": [], "propagate": True},
                "uvicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
                "uvicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
            }
            | {name: {"level": "WARNING"} for name in _VERBOSE}
            # It logs a warning with the client's IP address for each request over a limit.
            | {"slowapi": {"level": "ERROR"}},
        }
    )

    # The formatter prints none of these; don't collect them for every record.
    for switch in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, switch, False)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        exc_info = (kind, error or kind(), traceback)
        logging.getLogger(__name__).critical("process.uncaught_exception", exc_info=exc_info)


def event(logger: logging.Logger, name: str, /, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event. Field values must contain no personal data: pass phone numbers through mask_phone."""
    if logger.isEnabledFor(level):
        # Same as logger.log(), but without searching the stack for the caller, which the formatter doesn't print.
        extra = _rename_reserved(fields)
        logger.handle(logger.makeRecord(logger.name, level, "", 0, name, (), None, extra=extra))


# logging raises KeyError for extra fields named like its own ("name", "module", "created", ...).
_RESERVED = frozenset((*logging.makeLogRecord({}).__dict__, "message", "asctime"))


def _rename_reserved(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}_" if name in _RESERVED else name: value for name, value in fields.items()}


def mask_phone(digits: str) -> str:
    """Return a phone number masked for logs: `+7916***4567` for `79161234567`.

    Of a number with fewer than 11 digits at most half are shown.
    """
    digits = digits.removeprefix("+")
    shown = 4 if len(digits) >= 11 else len(digits) // 4
    return f"+{digits[:shown]}***{digits[len(digits) - shown :]}"
