"""chaser-callback callbacks export: any number of callbacks into a file, a page at a time."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from app.cli.api_client import DEFAULT_URL, ApiClient, Url
from app.cli.callback_filters import From, Phone, Sites, Statuses, To, read, wanted
from app.cli.exit_codes import UNREACHABLE, fail
from app.cli.output import console
from app.cli.spreadsheet import escape_formula

COLUMNS = (
    "id",
    "site",
    "status",
    "reason",
    "client_phone",
    "phone_certain",
    "created_at",
    "updated_at",
    "due_at",
    "give_up_at",
    "call_expected_at",
    "planned_time",
    "department",
    "manager_phone",
    "message_on_ring",
    "nwt_action",
    "call_stack_start_hour",
    "call_stack_interval",
    "active_page",
    "referrer",
    "client_ip",
    "consent",
    "api_key",
    "attempts",
    "last_outcome",
    "last_http_status",
    "last_detail",
)
"""Columns of the CSV. `attempts` is their number; JSON lines hold each of them whole."""


class Format(StrEnum):
    """How it is written."""

    CSV = "csv"
    JSONL = "jsonl"


def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to write. Left out, or -: standard output.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Left out: jsonl for a FILE that ends in .jsonl, else csv.")
    ] = None,
    site: Sites = None,
    status: Statuses = None,
    phone: Phone = None,
    from_: From = None,
    to: To = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Write callbacks, newest first, as CSV or as JSON lines. Times are in UTC.

    It holds one page of them in memory, however many there are. A FILE gets its name when it is complete; until then,
    or when it was broken off, it is FILE.part. Standard output is complete when the command ends with 0.

    In CSV, text that begins with = + - @, a tab or a line break gets an apostrophe before it: strangers wrote it, and
    a spreadsheet would take it for a formula. JSON lines hold everything as it is.
    """
    filters = wanted(site, status, phone, from_, to)
    if file is not None and str(file) == "-":
        file = None
    by_name = Format.JSONL if file is not None and file.suffix == ".jsonl" else Format.CSV
    write = _write_csv if (format_ or by_name) is Format.CSV else _write_lines
    with ApiClient(url) as running:
        found = read(running, filters)
        if file is None:
            count = _counted(found, lambda counting: write(sys.stdout, counting))
            sys.stdout.flush()
        else:
            try:
                with _complete_or_part(file) as opened:
                    count = _counted(found, lambda counting: write(opened, counting))
            except OSError as error:
                fail(UNREACHABLE, f"FILE: can't write {file}: {error.strerror}: choose another place")
    typer.echo(f"{count:,} callbacks written to {file or 'standard output'}", err=True)


def _write_csv(out: TextIO, found: Iterable[dict[str, Any]]) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in found:
        attempts = each["attempts"]
        last = attempts[-1] if attempts else {}
        flat = each | {"attempts": len(attempts)} | {f"last_{name}": value for name, value in last.items()}
        writer.writerow([_cell(flat.get(column)) for column in COLUMNS])


def _write_lines(out: TextIO, found: Iterable[dict[str, Any]]) -> None:
    for each in found:
        out.write(json.dumps(each, ensure_ascii=False) + "\n")


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | bool) else escape_formula(value)


@contextmanager
def _complete_or_part(file: Path) -> Iterator[TextIO]:
    part = file.with_name(f"{file.name}.part")
    # As with 0600: it holds telephone numbers.
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        yield opened
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)


def _counted(found: Iterator[dict[str, Any]], write: Callable[[Iterator[dict[str, Any]]], None]) -> int:
    """Write while a line on standard error shows how far it is, if that is a terminal. Gives how many were written."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    progress = Progress(
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f} callbacks"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[reached]}"),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    count = 0
    # Nobody knows how many there are: the service doesn't count them, so the bar runs to and fro.
    task = progress.add_task("", total=None, rate="", reached="")

    def counting() -> Iterator[dict[str, Any]]:
        nonlocal count
        for each in found:
            yield each
            count += 1
            if count % 500 == 0:
                speed = progress.tasks[0].speed
                rate = f"{speed:,.0f}/s" if speed else ""
                progress.update(task, completed=count, rate=rate, reached=f"back to {each['created_at'][:10]}")

    with progress:
        write(counting())
    return count
