"""Checks one parameter at a time, before anything is sent; pure.

Every function takes the parameter's name and its value, returns the value in its one stored form, and raises
InvalidParameter with the name and the range, never the value. The ranges are the vendor's (see the table of `call`);
where the vendor gives none, the source is named.
"""

import ipaddress
import re
from datetime import date, datetime
from typing import Any

from .chaser_errors import InvalidParameter
from .signing import encodable

LARGEST_INTEGER = 2**63 - 1
"""The largest integer of the PHP at the other end."""

LATEST_TIME = 253_402_300_799
"""The last second of the year 9999. Above it somebody passed milliseconds."""

# E.164: at most 15 digits, and no country code begins with 0. Seven is the shortest number in use with its code.
_PHONE = re.compile(r"[1-9][0-9]{6,14}")


def integer(name: str, value: Any, lowest: int, highest: int) -> int:
    """Accept an integer from `lowest` to `highest`, both included."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        top = "" if highest == LARGEST_INTEGER else f" to {highest}"
        raise InvalidParameter(name, f"must be an integer from {lowest}{top}")
    return value


def phone(name: str, value: Any) -> str:
    """Accept a phone number as an integer or as text of ASCII digits, with its country code; return the digits."""
    is_integer = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_INTEGER
    digits = str(value) if is_integer else value
    if not isinstance(digits, str) or not _PHONE.fullmatch(digits):
        raise InvalidParameter(name, "must be 7 to 15 digits with the country code and no other sign")
    return digits


def text(name: str, value: Any) -> str:
    """Accept any text that UTF-8 can encode, the empty one included."""
    if not isinstance(value, str):
        raise InvalidParameter(name, "must be text")
    encodable(name, value)
    return value


def address(name: str, value: Any) -> str:
    """Accept an IPv4 or IPv6 address as text, without a zone (`%eth0`)."""
    try:
        if isinstance(value, str) and "%" not in value and ipaddress.ip_address(value):
            return value
    except ValueError:
        pass  # Raised below, outside: the ValueError repeats the value.
    raise InvalidParameter(name, "must be an IPv4 or IPv6 address without a zone")


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Accept one of the listed words."""
    if value not in allowed:
        raise InvalidParameter(name, f"must be one of {', '.join(allowed)}")
    return str(value)


def moment(name: str, value: Any, now: datetime | None) -> int:
    """Accept a datetime with a time zone or unix seconds, later than `now` if that is given; return unix seconds."""
    if isinstance(value, datetime) and value.utcoffset() is not None:
        value = int(value.timestamp())
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LATEST_TIME:
        raise InvalidParameter(name, f"must be a datetime with a time zone, or unix seconds from 1 to {LATEST_TIME}")
    if now is not None and value <= now.timestamp():
        raise InvalidParameter(name, "must be in the future")
    return value


def day(name: str, value: Any) -> str:
    """Accept a date; return it as `dd-mm-YYYY`.

    A datetime is refused: which day it is on depends on a time zone, and Chaser does not document which one it means.
    """
    if isinstance(value, datetime) or not isinstance(value, date):
        raise InvalidParameter(name, "must be a date without a time of day")
    return f"{value.day:02}-{value.month:02}-{value.year:04}"
