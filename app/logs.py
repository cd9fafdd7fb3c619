"""Logs: one JSON line per event on standard output, with the request id and without personal data or secrets."""

import json
import logging
import logging.config
import sys
import threading
from contextvars import ContextVar
from datetime import datetime
from types import TracebackType
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# These log whole URLs or SQL statements at INFO or DEBUG, with IP addresses, phone numbers and signatures.
_VERBOSE = ("httpx2", "httpcore2", "sqlalchemy", "alembic", "asyncio")


class _Formatter(logging.Formatter):
    """Writes a record as a line of JSON: time, level, logger, the message as `event`, fields and request id.

    An exception is its type and location without its text, which can contain a visitor's input (pydantic) or the values
    of a statement (SQLAlchemy).
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line = {
            "time": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            # The lines of asyncio after the first describe the task, with the text of its exception.
            "event": message.partition("\n")[0] if record.name == "asyncio" else message,
            **getattr(record, "fields", {}),
        }
        if (current := request_id.get()) is not None:
            line.setdefault("request_id", current)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)

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
            "formatters": {"json": {"()": _Formatter}},
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
        logger.handle(logger.makeRecord(logger.name, level, "", 0, name, (), None, extra={"fields": fields}))


def mask_phone(digits: str) -> str:
    """Return a phone number masked for logs: `***67` for `79161234567`. At most a quarter of its digits is shown.

    More digits, together with the time and the site, would leave few enough candidates to find the person.
    """
    digits = digits.removeprefix("+")
    return f"***{digits[len(digits) - min(2, len(digits) // 4) :]}"
