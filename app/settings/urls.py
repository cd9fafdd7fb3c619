"""Types of settings: URLs of web pages, of Chaser and of the database. Pure.

Each parser raises ValueError with the fix, and never with the value, which may contain a password.
"""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.net.origins import url_origin
from app.settings.text_types import parse_text, refuse_placeholder

_MAX_LENGTH = 2048
_POSTGRESQL = re.compile(r"(postgres|postgresql|postgresql\+psycopg)://")


def parse_web_url(value: Any) -> str:
    """Validate an http or https URL in ASCII, without user name and password, and strip it."""
    written = parse_text(_MAX_LENGTH, value)
    if not _is_web_url(written):
        raise ValueError("write an address such as https://shop.example/privacy, in ASCII and without user name")
    return written


def parse_base_url(value: Any) -> str:
    """Validate a web URL to which paths are appended: one without query and fragment."""
    written = parse_text(_MAX_LENGTH, value)
    if not _is_web_url(written) or "?" in written or "#" in written:
        raise ValueError("write an address such as https://api.chaser.ru/v1/, without user name, ? and #")
    return written


def _is_web_url(written: str) -> bool:
    return written.isascii() and url_origin(written) is not None


def parse_database_url(value: Any) -> str:
    """Validate the URL of an SQLite file or a PostgreSQL database. Returns it with the driver, for SQLAlchemy."""
    written = str(value).strip()
    if _POSTGRESQL.match(written):
        written = "postgresql+psycopg://" + written.partition("://")[2]
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):  # ValueError: an invalid port
        url = None
    if url is None or not (_is_sqlite_file(url) or url.drivername == "postgresql+psycopg"):
        raise ValueError("write sqlite:///path/to/callbacks.db or postgresql://user:password@host/database")
    for part in (url.username, url.password, url.host, url.database):
        refuse_placeholder(part or "")
    return written


def _is_sqlite_file(url: URL) -> bool:
    path = url.database or ""
    is_no_file = not path or path.endswith("/") or ":memory:" in path or path.startswith("file:")
    return url.drivername == "sqlite" and not is_no_file and not url.query and not url.host


WebUrl = Annotated[str, BeforeValidator(parse_web_url)]
BaseUrl = Annotated[str, BeforeValidator(parse_base_url)]
DatabaseUrl = Annotated[str, BeforeValidator(parse_database_url)]
