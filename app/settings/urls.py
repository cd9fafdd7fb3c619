"""How addresses are written in settings: of web pages, of Chaser, of the database. Pure.

Each reader raises ValueError with the cure, and never with the value, which may hold a password.
"""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.settings.text_types import parse_text, refuse_placeholder

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\]", re.I)
_LONGEST = 2048
_POSTGRESQL = re.compile(r"(postgres|postgresql|postgresql\+psycopg)://")


def parse_web_address(value: Any) -> str:
    """Read an http or https address with a host in ASCII and without user name and password."""
    written = parse_text(_LONGEST, value)
    if not _right(written):
        raise ValueError("write an address such as https://shop.example/privacy, in ASCII and without user name")
    return written


def parse_base_address(value: Any) -> str:
    """Read a web address that paths are put behind, so one without query and fragment."""
    written = parse_text(_LONGEST, value)
    if not _right(written) or "?" in written or "#" in written:
        raise ValueError("write an address such as https://api.chaser.ru/v1/, without user name, ? and #")
    return written


def _right(written: str) -> bool:
    if not written.isascii() or " " in written:
        return False
    try:
        parts = urlsplit(written)
        host = parts.netloc if parts.port is None else parts.netloc.rpartition(":")[0]
    except ValueError:  # brackets without an IPv6 address, a port that is none
        return False
    return parts.scheme in {"http", "https"} and _HOST.fullmatch(host) is not None and parts.port != 0


def parse_database_address(value: Any) -> str:
    """Read the address of an SQLite file or a PostgreSQL database into the form SQLAlchemy takes, driver included."""
    written = str(value).strip()
    if _POSTGRESQL.match(written):
        written = "postgresql+psycopg://" + written.partition("://")[2]
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):  # ValueError: a port that is none
        url = None
    if url is None or not (_is_file(url) or url.drivername == "postgresql+psycopg"):
        raise ValueError("write sqlite:///path/to/callbacks.db or postgresql://user:password@host/database")
    for part in (url.username, url.password, url.host, url.database):
        refuse_placeholder(part or "")
    return written


def _is_file(url: URL) -> bool:
    path = url.database or ""
    no_file = not path or path.endswith("/") or ":memory:" in path or path.startswith("file:")
    return url.drivername == "sqlite" and not no_file and not url.query and not url.host


WebAddress = Annotated[str, BeforeValidator(parse_web_address)]
BaseAddress = Annotated[str, BeforeValidator(parse_base_address)]
DatabaseAddress = Annotated[str, BeforeValidator(parse_database_address)]
