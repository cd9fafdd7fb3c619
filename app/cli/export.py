"""The command `chaser-callback callbacks export`: write any number of callbacks to a file, page by page."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer

from app.cli.api_client import ApiClient, Url
from app.cli.callback_filters import From, Phone, Sites, Statuses, To, filters, read_callbacks
from app.cli.exit_codes import UNREACHABLE, fail
from app.cli.output import console, to_json
from app.cli.spreadsheet import write_csv

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
    "rings_at",
    "held_for",
    "duplicate_of",
    "again_of",
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
"""Columns of the CSV. `attempts` is the number of attempts; JSON lines hold each attempt complete."""


def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The file to write. Without it, or with -: standard output.")
    ] = None,
    format_: Annotated[
        Literal["csv", "jsonl"] | None,
        typer.Option("--format", help="Default: jsonl for a FILE that ends in .jsonl, else csv."),
    ] = None,
    site: Sites = None,
    status: Statuses = None,
    phone: Phone = None,
    from_: From = None,
    to: To = None,
    url: Url = None,
) -> None:
    """Export callbacks, newest first, as CSV or as JSON lines. Times are in UTC.

    Only one page is in memory, however many callbacks there are. FILE is written as FILE.part and renamed when it is
    complete; an interrupted export leaves FILE.part. Standard output is complete if the exit code is 0.

    In CSV, text that begins with = + - @, a tab or a line break gets an apostrophe before it. It comes from visitors,
    and a spreadsheet would run it as a formula. At a terminal its control characters become spaces. JSON lines hold all
    text unchanged, with those characters escaped.
    """
    parameters = filters(site, status, phone, from_, to)
    if file is not None and str(file) == "-":
        file = None
    default = "jsonl" if file is not None and file.suffix == ".jsonl" else "csv"
    write = _write_csv if (format_ or default) == "csv" else _write_json_lines
    with ApiClient(url) as client:
        callbacks = read_callbacks(client, parameters)
        if file is None:
            count = _write_with_progress(callbacks, lambda counted: write(sys.stdout, counted))
            sys.stdout.flush()
        else:
            try:
                with _renamed_when_complete(file) as opened:
                    count = _write_with_progress(callbacks, lambda counted: write(opened, counted))
            except OSError as error:
                fail(UNREACHABLE, f"FILE: can't write {file}: {error.strerror}: choose another place")
    typer.echo(f"{count:,} callbacks written to {file or 'standard output'}", err=True)


def _write_csv(out: TextIO, callbacks: Iterable[dict[str, Any]]) -> None:
    write_csv(out, COLUMNS, map(_row, callbacks))


def _row(callback: dict[str, Any]) -> list[Any]:
    attempts = callback["attempts"]
    last = {f"last_{name}": value for name, value in attempts[-1].items()} if attempts else {}
    flat = callback | {"attempts": len(attempts)} | last
    return [flat.get(column) for column in COLUMNS]


def _write_json_lines(out: TextIO, callbacks: Iterable[dict[str, Any]]) -> None:
    for callback in callbacks:
        out.write(to_json(callback) + "\n")


@contextmanager
def _renamed_when_complete(file: Path) -> Iterator[TextIO]:
    part = file.with_name(f"{file.name}.part")
    # Mode 0600, because the file holds phone numbers: other users of the machine must not read it.
    part.unlink(missing_ok=True)  # one that was left behind may have a wider mode
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        yield opened
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)


def _write_with_progress(callbacks: Iterator[dict[str, Any]], write: Callable[[Iterator[dict[str, Any]]], None]) -> int:
    """Pass the callbacks to `write`, show a progress line if standard error is a terminal, and return their number."""
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
    # The API returns no total, so the bar is indeterminate.
    task = progress.add_task("", total=None, rate="", reached="")

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for count, callback in enumerate(callbacks, 1):
            yield callback
            if count % 500 == 0:
                speed = progress.tasks[0].speed
                rate = f"{speed:,.0f}/s" if speed else ""
                progress.update(task, completed=count, rate=rate, reached=f"back to {callback['created_at'][:10]}")

    with progress:
        write(counted())
    return count
