"""The command `chaser-callback blocklist`: blocked phones and networks of the running service."""

from typing import Annotated

import typer

from app.cli.api_client import Url, request
from app.cli.output import Column, is_tty, show_table

blocklist = typer.Typer(
    help="Phones that are never called, and networks whose requests are refused.", no_args_is_help=True
)

Entry = Annotated[str, typer.Argument(help="A phone (+79161234567), an address, or a network (203.0.113.0/24).")]


@blocklist.command("list")
def show(url: Url = None) -> None:
    """List the entries, newest first: entry, date, note. Behind a pipe they are separated by tabs."""
    entries = request(url, "GET", "/v1/blocklist")["entries"]
    columns = [Column("entry", whole=True), Column("since", whole=True), Column("note")]
    end = 10 if is_tty() else None  # at a terminal the date is enough
    show_table(columns, ([entry["entry"], entry["created_at"][:end], entry["note"]] for entry in entries))


@blocklist.command()
def add(
    entry: Entry,
    note: Annotated[str | None, typer.Option(help="Why it is blocked, for people who read the list.")] = None,
    url: Url = None,
) -> None:
    """Block a phone or a network at once. Queued callbacks to a blocked phone are cancelled."""
    added = request(url, "POST", "/v1/blocklist", json={"entry": entry, "note": note})
    typer.echo(f"blocked: {added['entry']}")


@blocklist.command()
def remove(entry: Entry, url: Url = None) -> None:
    """Unblock a phone or a network."""
    request(url, "DELETE", "/v1/blocklist", params={"entry": entry})
    typer.echo("unblocked")
