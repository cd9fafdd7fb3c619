"""How numbers, switches, durations, limits, lists and telephone numbers are written in settings. Pure.

Each reader raises ValueError with the cure, and never with the value.
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
_SWITCH = dict.fromkeys(("on", "true", "yes", "1"), True) | dict.fromkeys(("off", "false", "no", "0"), False)
_MOST_ALLOWED = 1_000_000
_LONGEST_WINDOW = timedelta(days=366)


def parse_duration(value: Any) -> timedelta:
    """Read a duration such as ``"500ms"``, ``"10 s"``, ``"2m"``, ``"90 days"``. A bare number is seconds."""
    if isinstance(value, timedelta):
        return value
    match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("write a duration such as 10s, 2m, 2h or 90d")
    unit = match[2] or "s"
    try:
        return float(match[1]) * _UNITS[unit if unit in _UNITS else unit[0]]
    except OverflowError:
        return timedelta.max


def duration(lowest: str, highest: str) -> BeforeValidator:
    """Make the reader of a duration inside a range, ends included."""
    return BeforeValidator(partial(_duration_between, lowest, highest))


def _duration_between(lowest: str, highest: str, value: Any) -> timedelta:
    read = parse_duration(value)
    if not parse_duration(lowest) <= read <= parse_duration(highest):
        raise ValueError(f"write a duration from {lowest} to {highest}")
    return read


def integer(lowest: int, highest: int | None = None) -> BeforeValidator:
    """Make the reader of a whole number inside a range, ends included. Without a highest one: what 64 bits hold."""
    return BeforeValidator(partial(_whole_between, lowest, highest))


def _whole_between(lowest: int, highest: int | None, value: Any) -> int:
    if isinstance(value, str):
        refuse_placeholder(value)
    written = "" if isinstance(value, bool) else str(value).strip()
    number = int(written) if re.fullmatch(r"[0-9]{1,19}", written) else -1
    if not lowest <= number <= (2**63 - 1 if highest is None else highest):
        raise ValueError(f"write a whole number from {lowest}" + ("" if highest is None else f" to {highest}"))
    return number


def boolean() -> BeforeValidator:
    """Make the reader of something that is on or off."""
    return BeforeValidator(_parse_switch)


def _parse_switch(value: Any) -> bool:
    written = str(value).strip().lower()
    if written not in _SWITCH:
        raise ValueError("write on or off")
    return _SWITCH[written]


def parse_limits(value: Any) -> tuple[RateLimitItem, ...]:
    """Read one or several limits in the notation of the library ``limits``, such as ``3/hour;5/day``.

    Each allows 1 to 1,000,000 in a window of at most a year.
    """
    if isinstance(value, tuple):
        return value
    try:
        items = tuple(parse_many(str(value)))
    except ValueError:
        raise ValueError("write limits such as 3/hour or 3/hour;5/day") from None
    if not all(1 <= item.amount <= _MOST_ALLOWED for item in items):
        raise ValueError(f"a limit must allow from 1 to {_MOST_ALLOWED}")
    if not all(item.get_expiry() <= _LONGEST_WINDOW.total_seconds() for item in items):
        raise ValueError("the window of a limit must not be longer than a year")
    return items


def split_list(value: Any) -> Any:
    """Let a list be written as ``a,b`` or as JSON, and a list of one as that one."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"no valid JSON ({error.msg}: character {error.pos + 1}): correct it, or write a,b"
            ) from None
        except (ValueError, RecursionError):
            raise ValueError("no valid JSON: write a,b") from None
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, dict) or value is None:
        raise ValueError("write a list such as a,b")
    return value if isinstance(value, (list, tuple)) else [value]


def parse_telephone(value: Any) -> str:
    """Read a telephone number with its country code into 7 to 15 digits, as Chaser takes it."""
    written = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    digits = re.sub(r"[\s().\-]", "", written)
    # Russians write 8 for their own trunk prefix; with + it would be the country code of another country.
    trunk = re.fullmatch(r"8[0-9]{10}", digits)
    if trunk or not re.fullmatch(r"\+?[1-9][0-9]{6,14}", digits):
        raise ValueError("write a telephone number with its country code, such as +74951234567")
    return digits.removeprefix("+")


Limits = Annotated[tuple[RateLimitItem, ...], BeforeValidator(parse_limits)]
Telephone = Annotated[str, BeforeValidator(parse_telephone)]
CommaList = BeforeValidator(split_list)
