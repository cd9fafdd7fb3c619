"""The events of the service among the records that pytest has captured."""

from collections.abc import Iterable
from logging import LogRecord
from typing import Any


def events(records: Iterable[LogRecord], name: str) -> list[dict[str, Any]]:
    """Return the fields of each event with this name, and its `level`."""
    return [
        {"level": record.levelno} | record.__dict__.get("fields", {})
        for record in records
        if record.getMessage() == name
    ]
