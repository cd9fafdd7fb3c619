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
    ranks = {name: -rank for rank, name in enumerate(_LIKELY_NAMES)}
    best = max(fields, key=lambda field: (len(days[field]), ranks.get(field.lower(), -len(ranks))), default=None)
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
    start, end = min(first or counted[0], counted[0]), max(last or counted[-1], counted[-1])
    days = [start + timedelta(number) for number in range((end - start).days + 1)]
    if is_tty():
        _draw(*_group(days, success, failed))
    else:
        for day in days:
            typer.echo(f"{day}\t{success.get(day, 0)}\t{failed.get(day, 0)}")


def _group(days: list[date], success: Days, failed: Days) -> tuple[str, list[tuple[str, int, int]]]:
    """Return the unit of a row, and each row's name with its counts."""
    unit, labels = "day", [f"{day} {day:%a}" for day in days]
    if len(days) > 7 * _MAX_ROWS:
        unit, labels = "month", [f"{day:%Y-%m}" for day in days]
    elif len(days) > _MAX_ROWS:
        unit, labels = "week from", [str(day - timedelta(day.weekday())) for day in days]
    succeeded, missed = Counter[str](), Counter[str]()
    for day, label in zip(days, labels, strict=True):
        succeeded[label] += success.get(day, 0)
        missed[label] += failed.get(day, 0)
    return unit, [(label, succeeded[label], missed[label]) for label in succeeded]


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
        # A count of at least 1 has a bar of at least 1, and both bars fit into the width.
        green, red = (count and max(1, count * (width - 1) // most) for count in (succeeded, missed))
        bar = Text.assemble((full * green, "green"), (light * red, "red"))
        table.add_row(name, bar, str(succeeded), str(missed))
    totals = (str(sum(column)) for column in list(zip(*rows, strict=True))[1:])
    table.add_row(Text("all", "bold"), "", *(Text(total, "bold") for total in totals))
    out.print(table)
