"""chaser-callback blocklist: phones that are never called, and networks that are not listened to."""

from typing import Annotated

import typer

from app.cli.api_client import DEFAULT_URL, Url, ask
from app.cli.output import Column, is_tty, show_table

blocklist = typer.Typer(
    help="Phones that are never called, and networks that are not listened to.", no_args_is_help=True
)

Entry = Annotated[str, typer.Argument(help="A phone (+79161234567), an address, or a network (203.0.113.0/24).")]


@blocklist.command("list")
def show(url: Url = DEFAULT_URL) -> None:
    """List the entries, newest first: entry, date, note; behind a pipe separated by tabs."""
    entries = ask(url, "GET", "/v1/blocklist")["entries"]
    columns = [Column("entry", whole=True), Column("since", whole=True), Column("note")]
    cut = 10 if is_tty() else None
    show_table(columns, ([entry["entry"], entry["created_at"][:cut], entry["note"]] for entry in entries))


@blocklist.command()
def add(
    entry: Entry,
    note: Annotated[str | None, typer.Option(help="For people: who asked for it, say.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Block a phone or a network, at once. What waits to be sent to that phone is cancelled."""
    written = ask(url, "POST", "/v1/blocklist", json={"entry": entry, "note": note})
    typer.echo(f"blocked: {written['entry']}")


@blocklist.command()
def remove(entry: Entry, url: Url = DEFAULT_URL) -> None:
    """Unblock a phone or a network."""
    ask(url, "DELETE", "/v1/blocklist", params={"entry": entry})
    typer.echo("unblocked")
