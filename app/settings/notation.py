"""How values are written in settings: durations, limits, lists, telephone numbers, secrets. Pure."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from limits import RateLimitItem, parse_many
from pydantic import AfterValidator, BeforeValidator, SecretStr

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|min|sec|seconds?|minutes?|hours?|days?)?")
_PLACEHOLDER = re.compile(
    r"(change|replace)[-_ ]?(me|it|this)|your[-_ ].*|put[-_ ].*[-_ ]here|<.*>|x{3,}|\.{3,}|…"
    r"|todo|tbd|dummy|placeholder|example|secret|password|private[-_ ]?key|client[-_ ]?id|secret[-_ ]?key|",
    re.IGNORECASE,
)
_TEN_YEARS = timedelta(days=3653)


def parse_duration(value: Any) -> timedelta:
    """Read a duration above zero and up to ten years, such as ``"500ms"``, ``"10 s"``, ``"2m"``, ``"90 days"``.

    A bare number is seconds. Raises ValueError with the notation when the text is not one.
    """
    if isinstance(value, timedelta):
        return value
    match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("write a duration such as 10s, 2m, 2h or 90d")
    unit = match[2] or "s"
    short = unit if unit in _UNITS else unit[0]
    try:
        duration = float(match[1]) * _UNITS[short]
    except OverflowError:
        duration = timedelta.max
    if not timedelta(0) < duration <= _TEN_YEARS:
        raise ValueError("write a duration above zero and below ten years")
    return duration


def parse_limits(value: Any) -> tuple[RateLimitItem, ...]:
    """Read one or several limits in the notation of the library ``limits``, such as ``3/hour;5/day``.

    Raises ValueError with the notation when the text is not one, or when a limit allows nothing.
    """
    if isinstance(value, tuple):
        return value
    try:
        items = tuple(parse_many(str(value)))
    except ValueError:
        raise ValueError("write limits such as 3/hour or 3/hour;5/day") from None
    if any(item.amount < 1 for item in items):
        raise ValueError("a limit must allow at least 1")
    return items


def split_list(value: Any) -> Any:
    """Let a list be written as ``a,b`` in the environment; a JSON list has been read by then."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def parse_telephone(value: Any) -> str:
    """Read a telephone number with its country code into 7 to 15 digits, as Chaser takes it."""
    text = re.sub(r"[\s().\-]", "", str(value)).removeprefix("+")
    if not re.fullmatch(r"[1-9][0-9]{6,14}", text):
        raise ValueError("write a telephone number with its country code, such as +74951234567")
    return text


def parse_schedule(value: Any) -> tuple[timedelta, ...]:
    """Read the waits between attempts, such as ``5s,15s,1m,5m``; the last one repeats."""
    parts = split_list(value)
    if not isinstance(parts, Sequence) or not parts:
        raise ValueError("write at least one duration, such as 5s,15s,1m,5m")
    return tuple(parse_duration(part) for part in parts)


def real_text(value: str) -> str:
    """Refuse what was left over from an example file."""
    if _PLACEHOLDER.fullmatch(value.strip()):
        raise ValueError("still a placeholder: put in the real value")
    return value


def real_secret(value: SecretStr) -> SecretStr:
    """Refuse a secret left over from an example file."""
    real_text(value.get_secret_value())
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Limits = Annotated[tuple[RateLimitItem, ...], BeforeValidator(parse_limits)]
Telephone = Annotated[str, BeforeValidator(parse_telephone)]
Schedule = Annotated[tuple[timedelta, ...], BeforeValidator(parse_schedule)]
RealText = Annotated[str, AfterValidator(real_text)]
RealSecret = Annotated[SecretStr, AfterValidator(real_secret)]
Listed = BeforeValidator(split_list)
