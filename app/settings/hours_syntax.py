"""Syntax of working hours: `mon-fri 09:00-18:00, sat 10:00-16:00`, or a table of days. Pure."""

import re
from collections.abc import Collection
from datetime import time
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from app.settings.settings_base import ConflictingSettings

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_OPENING = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*[-–]\s*([0-9]{1,2}):([0-9]{2})")
_FIX = "write working hours such as mon-fri 09:00-18:00, sat 10:00-16:00"


def parse_hours(value: Any) -> dict[Weekday, tuple[time, time]]:
    """Parse working hours into the opening and closing time of each day. Days without an entry are closed.

    `value` is one line, or a table such as `{"mon-fri": "09:00-18:00"}`. 24:00, the end of a day, becomes `time.max`.
    Raises ConflictingSettings, a ValueError, with an error for each invalid entry.
    """
    hours: dict[Weekday, tuple[time, time]] = {}
    errors = []
    for days, opening in _entries(value):
        try:
            times = _opening(opening)
            weekdays = _days(days, already=hours)
        except ValueError as error:
            errors.append(("", f"{days}: {error}"))
        else:
            hours |= dict.fromkeys(weekdays, times)
    if errors:
        raise ConflictingSettings(errors)
    return hours


def _entries(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(str(days).strip().lower(), opening) for days, opening in value.items()]
    if not isinstance(value, str):
        raise ValueError(_FIX)  # noqa: TRY004  # pydantic reports a ValueError and crashes with a TypeError
    entries = []
    for entry in re.split(r"[,;]", value):
        days, _, opening = entry.strip().partition(" ")
        if not opening:
            raise ValueError(_FIX)
        entries.append((days.lower(), opening))
    return entries


def _opening(value: Any) -> tuple[time, time]:
    match = _OPENING.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("write opening hours such as 09:00-18:00")
    opens, closes = _time(match[1], match[2]), _time(match[3], match[4])
    if opens >= closes:
        raise ValueError("the closing time must come after the opening time, on the same day: 24:00 at the latest")
    return opens, closes


def _time(hour: str, minute: str) -> time:
    if (hour, minute) == ("24", "00"):
        return time.max
    try:
        return time(int(hour), int(minute))
    except ValueError:
        raise ValueError("write opening hours from 00:00 to 24:00") from None


def _days(written: str, already: Collection[str]) -> tuple[Weekday, ...]:
    first, _, last = written.replace("–", "-").partition("-")
    names: tuple[str, ...] = WEEKDAYS
    if first not in names or (last or first) not in names:
        raise ValueError("write days as mon, tue, wed, thu, fri, sat, sun or a range such as mon-fri")
    days = WEEKDAYS[names.index(first) : names.index(last or first) + 1]
    if not days:
        raise ValueError("write a range of days from the earlier to the later, mon first")
    if twice := next((day for day in days if day in already), None):
        raise ValueError(f"{twice} is named twice: name each day once")
    return days


WorkingHours = Annotated[dict[Weekday, tuple[time, time]], BeforeValidator(parse_hours)]
