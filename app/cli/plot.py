"""Draws the calls of each day in bars, and finds out on which day a call was.

Chaser doesn't document what an item of its statistics holds. So the field with the date is looked for: the one whose
value is a date in the most items, the one with the likelier name where there are several.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

import typer

from app.cli.output import console, is_tty

Days = Mapping[date, int]

_LIKELY = ("date", "call_date", "datetime", "date_time", "created_at", "created", "time", "start", "timestamp")
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)")
_UNIX = re.compile(r"1\d{9}(\.\d+)?")  # 2001 to 2033
_ENOUGH = 0.8
_MOST_ROWS = 62


class NoDates(Exception):
    """No field can be taken for a date; the text says what there is."""


def days_of(items: Sequence[Mapping[str, Any]], zone: tzinfo) -> Counter[date]:
    """Count items by their day: the one that is written there, of unix seconds the one they fall on in `zone`.

    Raises NoDates when no field holds a date in four of five items.
    """
    if not items:
        return Counter()
    fields = list(dict.fromkeys(field for item in items for field in item))
    found = {field: [day for item in items if (day := day_of(item.get(field), zone))] for field in fields}
    best = max(fields, key=lambda field: (len(found[field]), -_rank(field)), default=None)
    if best is None or len(found[best]) < _ENOUGH * len(items):
        named = ", ".join(fields) or "none"
        raise NoDates(f"Chaser's answer has no field that can be taken for a date (its fields: {named})")
    return Counter(found[best])


def day_of(value: Any, zone: tzinfo) -> date | None:
    """Read the day from 24-11-2026, 24.11.2026 12:00, 2026-11-24T12:00:00 or unix seconds; None from anything else."""
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
    """Print a row for each day from the first to the last: at a terminal with a bar, else day, success, failed.

    At a terminal more than two months are drawn by the week, more than a year by the month.
    """
    counted = sorted({*success, *failed})
    if not counted:
        typer.echo("Nothing found.", err=True)
        return
    every = _from_to(min(first or counted[0], counted[0]), max(last or counted[-1], counted[-1]))
    if is_tty():
        _draw(*_grouped(every, success, failed))
    else:
        for day in every:
            typer.echo(f"{day}\t{success.get(day, 0)}\t{failed.get(day, 0)}")


def _rank(field: str) -> int:
    return _LIKELY.index(field.lower()) if field.lower() in _LIKELY else len(_LIKELY)


def _from_to(first: date, last: date) -> list[date]:
    return [first + timedelta(days) for days in range((last - first).days + 1)]


def _grouped(every: list[date], success: Days, failed: Days) -> tuple[str, list[tuple[str, int, int]]]:
    unit, label = "day", _day
    if len(every) > 7 * _MOST_ROWS:
        unit, label = "month", _month
    elif len(every) > _MOST_ROWS:
        unit, label = "week from", _week
    rows: dict[str, tuple[int, int]] = {}
    for day in every:
        done, lost = rows.get(label(day), (0, 0))
        rows[label(day)] = (done + success.get(day, 0), lost + failed.get(day, 0))
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
    # Two signs, so that the bars can be told apart without colours too.
    full, light = ("█", "▒") if out.encoding.lower().startswith("utf") else ("#", "-")
    width = max(10, out.width - max(len(name) for name, _, _ in rows) - 18)
    most = max(done + lost for _, done, lost in rows) or 1
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
    for name, done, lost in rows:
        bar = Text.assemble((full * _cells(done, most, width), "green"), (light * _cells(lost, most, width), "red"))
        table.add_row(name, bar, str(done), str(lost))
    total, missed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    table.add_row(Text("all", "bold"), "", Text(str(total), "bold"), Text(str(missed), "bold"))
    out.print(table)


def _cells(count: int, most: int, width: int) -> int:
    """Give the length of a bar; what is there is seen, and both bars together fit."""
    return 0 if not count else max(1, count * (width - 1) // most)
