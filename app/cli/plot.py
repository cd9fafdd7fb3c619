"""Bar chart of the calls of each day, and detection of the field that holds the day of a call.

Chaser doesn't document the fields of a statistics item. The date field is the one with a date in the most items; of
several, the one with the likeliest name.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

import typer

from app.cli.output import console, is_tty

Days = Mapping[date, int]

_LIKELY_NAMES = ("date", "call_date", "datetime", "date_time", "created_at", "created", "time", "start", "timestamp")
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)")
_UNIX = re.compile(r"1\d{9}(\.\d+)?")  # 2001 to 2033
_MIN_DATED_SHARE = 0.8
_MAX_ROWS = 62


class NoDateField(Exception):
    """No field of the items holds a date; the message lists the fields."""


def count_by_day(items: Sequence[Mapping[str, Any]], zone: tzinfo) -> Counter[date]:
    """Count statistics items by day.

    The day is taken as written; unix seconds are converted to the day in `zone`. Raises NoDateField if no field holds
    a date in at least 80 % of the items.
    """
    if not items:
        return Counter()
    fields = list(dict.fromkeys(field for item in items for field in item))
    days = {field: [day for item in items if (day := parse_day(item.get(field), zone))] for field in fields}
    best = max(fields, key=lambda field: (len(days[field]), -_rank(field)), default=None)
    if best is None or len(days[best]) < _MIN_DATED_SHARE * len(items):
        names = ", ".join(fields) or "none"
        raise NoDateField(f"Chaser's answer has no field that can be read as a date (its fields: {names})")
    return Counter(days[best])


def parse_day(value: Any, zone: tzinfo) -> date | None:
    """Parse the day of 24-11-2026, 24.11.2026 12:00, 2026-11-24T12:00:00 or unix seconds; return None otherwise."""
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    try:
        if parts := _ISO.match(text):
            return date(*map(int, parts.groups()))
        if parts := _DAY_FIRST.match(text):
            day, month, year = map(int, parts.groups())
            return date(year, month, day)
        if _UNIX.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC).astimezone(zone).date()
    except ValueError:
        return None
    return None


def show_plot(success: Days, failed: Days, first: date | None, last: date | None) -> None:
    """Print a row for each day from `first` to `last`: at a terminal a bar, behind a pipe day, success, failed.

    Without `first` or `last` the rows begin or end with the first or last day that has calls. At a terminal, more than
    62 days are grouped by week, more than 62 weeks by month.
    """
    counted = sorted({*success, *failed})
    if not counted:
        typer.echo("Nothing found.", err=True)
        return
    days = _date_range(min(first or counted[0], counted[0]), max(last or counted[-1], counted[-1]))
    if is_tty():
        _draw(*_group(days, success, failed))
    else:
        for day in days:
            typer.echo(f"{day}\t{success.get(day, 0)}\t{failed.get(day, 0)}")


def _rank(field: str) -> int:
    return _LIKELY_NAMES.index(field.lower()) if field.lower() in _LIKELY_NAMES else len(_LIKELY_NAMES)


def _date_range(first: date, last: date) -> list[date]:
    return [first + timedelta(days) for days in range((last - first).days + 1)]


def _group(days: list[date], success: Days, failed: Days) -> tuple[str, list[tuple[str, int, int]]]:
    unit, label = "day", _day
    if len(days) > 7 * _MAX_ROWS:
        unit, label = "month", _month
    elif len(days) > _MAX_ROWS:
        unit, label = "week from", _week
    rows: dict[str, tuple[int, int]] = {}
    for day in days:
        succeeded, missed = rows.get(label(day), (0, 0))
        rows[label(day)] = (succeeded + success.get(day, 0), missed + failed.get(day, 0))
    return unit, [(name, *counts) for name, counts in rows.items()]


def _day(day: date) -> str:
    return f"{day} {day:%a}"


def _week(day: date) -> str:
    return str(day - timedelta(day.weekday()))


def _month(day: date) -> str:
    return f"{day:%Y-%m}"


def _draw(unit: str, rows: Iterable[tuple[str, int, int]]) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    rows = list(rows)
    # Two characters: without colours the parts of a bar could not be distinguished.
    full, light = ("█", "▒") if out.encoding.lower().startswith("utf") else ("#", "-")
    width = max(10, out.width - max(len(name) for name, _, _ in rows) - 18)
    most = max(succeeded + missed for _, succeeded, missed in rows) or 1
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=width)
    table.add_column(no_wrap=True, justify="right", min_width=7)
    table.add_column(no_wrap=True, justify="right", min_width=6)
    table.add_row(
        Text(unit, "bold"),
        Text.assemble((full * 2, "green"), " success  ", (light * 2, "red"), " failed"),
        Text("success", "green"),
        Text("failed", "red"),
    )
    for name, succeeded, missed in rows:
        green, red = _bar_length(succeeded, most, width), _bar_length(missed, most, width)
        bar = Text.assemble((full * green, "green"), (light * red, "red"))
        table.add_row(name, bar, str(succeeded), str(missed))
    all_succeeded, all_missed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    table.add_row(Text("all", "bold"), "", Text(str(all_succeeded), "bold"), Text(str(all_missed), "bold"))
    out.print(table)


def _bar_length(count: int, most: int, width: int) -> int:
    """Return the length of a bar in characters: at least 1 if `count` is not 0, and both bars fit into `width`."""
    return 0 if not count else max(1, count * (width - 1) // most)
