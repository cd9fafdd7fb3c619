"""Validation of single parameters, before anything is sent. Pure.

Every function accepts the parameter's name and its value, and returns the value in its canonical form. It raises
InvalidParameter with the name and the range, never the value. The ranges are the vendor's (see the documentation of
`call`); the source of all others is named.
"""

import ipaddress
import re
from datetime import date, datetime
from typing import Any

from .chaser_errors import InvalidParameter
from .signing import encode_utf8

LARGEST_INTEGER = 2**63 - 1
"""Largest integer in PHP, which Chaser is written in."""

LATEST_TIME = 253_402_300_799
"""Last second of the year 9999 as Unix time. A larger value is in milliseconds by mistake."""

# E.164: at most 15 digits, and no country code begins with 0. The shortest numbers in use have 7 with the code.
_PHONE = re.compile(r"[1-9][0-9]{6,14}")


def integer(name: str, value: Any, lowest: int, highest: int) -> int:
    """Return an integer from `lowest` to `highest`, both included."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        top = "" if highest == LARGEST_INTEGER else f" to {highest}"
        raise InvalidParameter(name, f"must be an integer from {lowest}{top}")
    return value


def phone(name: str, value: Any) -> str:
    """Return the digits of a phone number with country code, passed as an integer or a string of ASCII digits."""
    is_integer = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_INTEGER
    digits = str(value) if is_integer else value
    if not isinstance(digits, str) or not _PHONE.fullmatch(digits):
        raise InvalidParameter(name, "must be 7 to 15 digits with the country code and no other character")
    return digits


def text(name: str, value: Any) -> str:
    """Return a string that UTF-8 can encode; it may be empty."""
    if not isinstance(value, str):
        raise InvalidParameter(name, "must be text")
    encode_utf8(name, value)
    return value


def ip_address(name: str, value: Any) -> str:
    """Return an IPv4 or IPv6 address in text form, without a zone (`%eth0`)."""
    try:
        if isinstance(value, str) and "%" not in value and ipaddress.ip_address(value):
            return value
    except ValueError:
        pass  # raised below, without context: the ValueError contains the value
    raise InvalidParameter(name, "must be an IPv4 or IPv6 address without a zone")


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return the value if it is one of the allowed ones."""
    if value not in allowed:
        raise InvalidParameter(name, f"must be one of {', '.join(allowed)}")
    return str(value)


def unix_time(name: str, value: Any, now: datetime | None) -> int:
    """Return Unix seconds of a datetime with a time zone, or of Unix seconds; later than `now` unless that is None."""
    if isinstance(value, datetime) and value.utcoffset() is not None:
        value = int(value.timestamp())
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LATEST_TIME:
        raise InvalidParameter(name, f"must be a datetime with a time zone, or Unix seconds from 1 to {LATEST_TIME}")
    if now is not None and value <= now.timestamp():
        raise InvalidParameter(name, "must be in the future")
    return value


def day(name: str, value: Any) -> str:
    """Return a date as `dd-mm-YYYY`.

    A datetime is rejected: its day depends on the time zone, and Chaser does not document which one it uses.
    """
    if isinstance(value, datetime) or not isinstance(value, date):
        raise InvalidParameter(name, "must be a date without a time of day")
    return f"{value.day:02}-{value.month:02}-{value.year:04}"
