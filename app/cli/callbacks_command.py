"""chaser-callback callbacks: what was asked for, what became of it, and what people decide."""

from datetime import datetime
from typing import Annotated, Any

import typer

from app.cli.api_client import DEFAULT_URL, ApiClient, Url, ask
from app.cli.callback_filters import From, Phone, Sites, Statuses, To, read, wanted
from app.cli.completion import complete_id
from app.cli.export import export
from app.cli.output import WIDE, Column, clean, console, is_tty, show_table
from app.cli.websites_command import shown

callbacks = typer.Typer(help="See callbacks, and release, retry or cancel one.", no_args_is_help=True)

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The id of the callback, as the log and the answers give it.", autocompletion=complete_id
    ),
]


@callbacks.command("list")
def list_callbacks(
    site: Sites = None,
    status: Statuses = None,
    phone: Phone = None,
    from_: From = None,
    to: To = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 20,
    url: Url = DEFAULT_URL,
) -> None:
    """List callbacks, newest first, in the time of this machine.

    Behind a pipe: id, time in UTC, status, phone, site, reason, attempts, outcome of the last one; separated by tabs.
    """
    with ApiClient(url) as running:
        found = read(running, wanted(site, status, phone, from_, to), limit)
        if not is_tty():
            show_table([Column("")] * 8, (_cells(each) for each in found))
            return
        wide = console().width >= WIDE
        columns = [
            Column("id", whole=True),
            Column("asked for", whole=True),
            Column("status", whole=True, status=True),
            Column("phone", whole=True),
            Column("site"),
        ]
        if wide:
            columns += [Column("reason"), Column("tries", whole=True, justify="right"), Column("last")]
        rows = []
        for each in found:
            cells = _cells(each)
            asked = datetime.fromisoformat(each["created_at"]).astimezone()
            cells[1] = f"{asked:%Y-%m-%d %H:%M}" if wide else f"{asked:%m-%d %H:%M}"
            rows.append(cells[: len(columns)])
    show_table(columns, rows)


def _cells(each: dict[str, Any]) -> list[Any]:
    attempts = each["attempts"]
    last = attempts[-1]["outcome"] or "under way" if attempts else None
    return [
        each["id"],
        each["created_at"],
        each["status"],
        each["client_phone"],
        each["site"],
        each["reason"],
        len(attempts),
        last,
    ]


@callbacks.command()
def show(callback_id: Id, url: Url = DEFAULT_URL) -> None:
    """Show all that is known of a callback, and every attempt to deliver it.

    Behind a pipe: name and value, separated by a tab; then a line for each attempt: attempt, number, and what came
    of it.
    """
    found = ask(url, "GET", f"/v1/callbacks/{callback_id}")
    attempts = found.pop("attempts")
    if is_tty():
        _show(found, attempts)
        return
    for name, value in found.items():
        typer.echo(f"{name}\t{clean(shown(value))}")
    for attempt in attempts:
        typer.echo("\t".join(("attempt", *(clean(value) for value in attempt.values()))))


def _show(found: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from app.cli.output import STATUS_STYLES

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in found.items():
        if value is not None:
            style = STATUS_STYLES.get(value, "") if name == "status" else ""
            table.add_row(Text(name), Text(_local(value), style))
    console().print(table)
    columns = ("number", "started_at", "outcome", "http_status", "duration_ms", "detail")
    if attempts:
        typer.echo()
        titles = [
            Column(name.removesuffix("_at"), whole=name != "detail", status=name == "outcome") for name in columns
        ]
        show_table(titles, ([_local(attempt[name]) for name in columns] for attempt in attempts))
    for attempt in attempts:
        if attempt["answer"]:
            typer.echo(f"\nChaser's answer to attempt {attempt['number']}:\n{clean(attempt['answer'])}")


def _local(value: Any) -> str:
    """Give a moment in the time of this machine, anything else as it is."""
    if isinstance(value, str) and len(value) > 18 and value[10:11] == "T":
        try:
            return f"{datetime.fromisoformat(value).astimezone():%Y-%m-%d %H:%M:%S %z}"
        except ValueError:
            pass
    return clean(shown(value))


@callbacks.command()
def release(callback_id: Id, url: Url = DEFAULT_URL) -> None:
    """Let a held callback be sent."""
    _steer(url, callback_id, "release")


@callbacks.command()
def retry(callback_id: Id, url: Url = DEFAULT_URL) -> None:
    """Send a failed or unknown callback again; for an unknown one this may be a second call."""
    _steer(url, callback_id, "retry")


@callbacks.command()
def cancel(callback_id: Id, url: Url = DEFAULT_URL) -> None:
    """End a callback that waits."""
    _steer(url, callback_id, "cancel")


callbacks.command()(export)


def _steer(url: str, callback_id: str, decision: str) -> None:
    now = ask(url, "POST", f"/v1/callbacks/{callback_id}/{decision}")
    typer.echo(f"{now['id']}: {now['status']}")
