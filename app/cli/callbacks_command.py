"""The command `chaser-callback callbacks`: list, show and export callbacks, and act on one."""

from datetime import datetime
from typing import Annotated, Any

import typer

from app.cli.api_client import ApiClient, Url, request
from app.cli.callback_filters import From, Phone, Sites, Statuses, To, filters, read_callbacks
from app.cli.completion import complete_id
from app.cli.export import export
from app.cli.output import WIDE, Column, clean, console, is_tty, show_table, to_text

callbacks = typer.Typer(help="List callbacks, and release, retry or cancel one.", no_args_is_help=True)

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The id of the callback, as in the log and in the responses.", autocompletion=complete_id
    ),
]


@callbacks.command("list")
def list_callbacks(
    site: Sites = None,
    status: Statuses = None,
    phone: Phone = None,
    from_: From = None,
    to: To = None,
    limit: Annotated[int, typer.Option(min=1, help="The largest number of callbacks to list.")] = 20,
    url: Url = None,
) -> None:
    """List callbacks, newest first, with times in this machine's zone.

    Behind a pipe: id, time in UTC, status, phone, site, reason, number of attempts, outcome of the last attempt;
    separated by tabs.
    """
    with ApiClient(url) as client:
        listed = read_callbacks(client, filters(site, status, phone, from_, to), limit)
        if not is_tty():
            show_table([Column("")] * 8, (_cells(callback) for callback in listed))
            return
        wide = console().width >= WIDE
        columns = [
            Column("id", whole=True),
            Column("requested", whole=True),
            Column("status", whole=True, status=True),
            Column("phone", whole=True),
            Column("site"),
        ]
        if wide:
            columns += [Column("reason"), Column("tries", whole=True, justify="right"), Column("last")]
        rows = []
        for callback in listed:
            cells = _cells(callback)
            created = datetime.fromisoformat(callback["created_at"]).astimezone()
            cells[1] = f"{created:%Y-%m-%d %H:%M}" if wide else f"{created:%m-%d %H:%M}"
            rows.append(cells[: len(columns)])
    show_table(columns, rows)


def _cells(callback: dict[str, Any]) -> list[Any]:
    attempts = callback["attempts"]
    last = attempts[-1]["outcome"] or "under way" if attempts else None
    return [
        callback["id"],
        callback["created_at"],
        callback["status"],
        callback["client_phone"],
        callback["site"],
        callback["reason"],
        len(attempts),
        last,
    ]


@callbacks.command()
def show(callback_id: Id, url: Url = None) -> None:
    """Show every field of a callback, every change of its status, and every attempt to place the call.

    Behind a pipe: field and value, separated by a tab; then a line for each change (change, sequence, its fields) and
    for each attempt (attempt, number, its fields).
    """
    callback = request(url, "GET", f"/v1/callbacks/{callback_id}")
    attempts, changes = callback.pop("attempts"), callback.pop("status_history")
    if is_tty():
        _show_at_terminal(callback, attempts, changes)
        return
    for name, value in callback.items():
        typer.echo(f"{name}\t{clean(to_text(value))}")
    for kind, rows in (("change", changes), ("attempt", attempts)):
        for row in rows:
            typer.echo("\t".join((kind, *(clean(value) for value in row.values()))))


def _show_at_terminal(callback: dict[str, Any], attempts: list[dict[str, Any]], changes: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from app.cli.output import STATUS_STYLES

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in callback.items():
        if value is not None:
            style = STATUS_STYLES.get(value, "") if name == "status" else ""
            table.add_row(Text(name), Text(_local_time(value), style))
    console().print(table)
    if changes:
        typer.echo()
        titles = [Column(title, status=title == "status") for title in ("at", "status", "reason", "actor")]
        show_table(
            titles,
            ([_local_time(row[name]) for name in ("created_at", "to_status", "reason", "actor")] for row in changes),
        )
    columns = ("number", "started_at", "outcome", "http_status", "duration_ms", "detail")
    if attempts:
        typer.echo()
        titles = [
            Column(name.removesuffix("_at"), whole=name != "detail", status=name == "outcome") for name in columns
        ]
        show_table(titles, ([_local_time(attempt[name]) for name in columns] for attempt in attempts))
    for attempt in attempts:
        if attempt["answer"]:
            typer.echo(f"\nChaser's answer to attempt {attempt['number']}:\n{clean(attempt['answer'])}")


def _local_time(value: Any) -> str:
    """Convert an ISO 8601 time to this machine's zone; return any other value as text."""
    if isinstance(value, str) and len(value) > 18 and value[10:11] == "T":
        try:
            return f"{datetime.fromisoformat(value).astimezone():%Y-%m-%d %H:%M:%S %z}"
        except ValueError:
            pass
    return clean(to_text(value))


@callbacks.command()
def release(callback_id: Id, url: Url = None) -> None:
    """Release a held callback: queue it to be sent."""
    _perform_action(url, callback_id, "release")


@callbacks.command()
def retry(callback_id: Id, url: Url = None) -> None:
    """Send a failed or unknown callback again. If it is unknown, the phone may ring a second time."""
    _perform_action(url, callback_id, "retry")


@callbacks.command()
def cancel(callback_id: Id, url: Url = None) -> None:
    """Cancel a callback that is queued, held or unknown."""
    _perform_action(url, callback_id, "cancel")


callbacks.command()(export)


def _perform_action(url: str | None, callback_id: str, action: str) -> None:
    callback = request(url, "POST", f"/v1/callbacks/{callback_id}/{action}")
    typer.echo(f"{callback['id']}: {callback['status']}")
