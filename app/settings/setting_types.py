"""Types of settings: numbers, durations, rate limits, lists and telephone numbers. Pure.

Each parser raises ValueError with the fix, and never with the value.
"""

import json
import re
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

from limits import RateLimitItem, parse_many
from pydantic import BeforeValidator

from app.settings.text_types import refuse_placeholder

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(ms|s|m|h|d|min|sec|seconds?|minutes?|hours?|days?)?")
_MAX_AMOUNT = 1_000_000
_MAX_WINDOW = timedelta(days=366)


def parse_duration(value: Any) -> timedelta:
    """Parse a duration such as `"500ms"`, `"10 s"`, `"2m"` or `"90 days"`. A number without a unit is in seconds."""
    match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("write a duration such as 10s, 2m, 2h or 90d")
    unit = match[2] or "s"
    try:
        return float(match[1]) * _UNITS[unit if unit in _UNITS else unit[0]]
    except OverflowError:
        return timedelta.max


def duration(lowest: str, highest: str) -> BeforeValidator:
    """Return the validator of a duration from `lowest` to `highest`, both included."""
    return BeforeValidator(partial(_duration_between, lowest, highest))


def _duration_between(lowest: str, highest: str, value: Any) -> timedelta:
    parsed = parse_duration(value)
    if not parse_duration(lowest) <= parsed <= parse_duration(highest):
        raise ValueError(f"write a duration from {lowest} to {highest}")
    return parsed


def integer(lowest: int, highest: int | None = None) -> BeforeValidator:
    """Return the validator of an integer from `lowest` to `highest`, both included; None: the maximum of 64 bits."""
    return BeforeValidator(partial(_integer_between, lowest, highest))


def _integer_between(lowest: int, highest: int | None, value: Any) -> int:
    if isinstance(value, str):
        refuse_placeholder(value)
    written = "" if isinstance(value, bool) else str(value).strip()
    number = int(written) if re.fullmatch(r"[0-9]{1,19}", written) else -1
    if not lowest <= number <= (2**63 - 1 if highest is None else highest):
        raise ValueError(f"write a whole number from {lowest}" + ("" if highest is None else f" to {highest}"))
    return number


def parse_limits(value: Any) -> tuple[RateLimitItem, ...]:
    """Parse one or several rate limits in the notation of the library `limits`, such as `3/hour;5/day`.

    Each allows 1 to 1,000,000 requests in a window of at most a year.
    """
    try:
        items = tuple(parse_many(str(value)))
    except ValueError:
        raise ValueError("write limits such as 3/hour or 3/hour;5/day") from None
    if not all(1 <= item.amount <= _MAX_AMOUNT for item in items):
        raise ValueError(f"a limit must allow from 1 to {_MAX_AMOUNT}")
    if not all(item.get_expiry() <= _MAX_WINDOW.total_seconds() for item in items):
        raise ValueError("the window of a limit must not be longer than a year")
    return items


def split_list(value: Any) -> Any:
    """Parse a list from `a,b` or JSON. A single value becomes a list of one."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"not valid JSON ({error.msg}: character {error.pos + 1}): correct it, or write a,b"
            ) from None
        except (ValueError, RecursionError):
            raise ValueError("not valid JSON: write a,b") from None
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, dict) or value is None:
        raise ValueError("write a list such as a,b")
    return value if isinstance(value, (list, tuple)) else [value]


def parse_telephone(value: Any) -> str:
    """Parse a telephone number with country code into 7 to 15 digits, the format of Chaser's API."""
    written = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    digits = re.sub(r"[\s().\-]", "", written)
    # 8 is the Russian trunk prefix. Read as a country code it would be a number in another country.
    trunk = re.fullmatch(r"8[0-9]{10}", digits)
    if trunk or not re.fullmatch(r"\+?[1-9][0-9]{6,14}", digits):
        raise ValueError("write a telephone number with its country code, such as +74951234567")
    return digits.removeprefix("+")


Limits = Annotated[tuple[RateLimitItem, ...], BeforeValidator(parse_limits)]
Telephone = Annotated[str, BeforeValidator(parse_telephone)]
CommaList = BeforeValidator(split_list)
