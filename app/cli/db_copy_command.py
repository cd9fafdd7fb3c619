"""chaser-callback db copy: everything into another database, with a bar."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.exit_codes import REFUSED, UNREACHABLE, WRONG, fail, settings_or_fail

if TYPE_CHECKING:
    from app.outbox.copying import Sum

_INTERRUPTED = 130


def copy(
    to: Annotated[str, typer.Option(help="A new, empty database: sqlite:///… or postgresql://…")],
) -> None:
    """Copy everything into another database, check it, and leave the work to that one.

    Stop the service first. What was interrupted goes on where it was when the command is run again. Afterwards set
    DATABASE_URL to the new database: on the old one no service starts any more.
    """
    from app.outbox.copying import NotCopied
    from app.outbox.database import DatabaseError
    from app.outbox.inspect_database import inspect
    from app.outbox.migrate import SchemaState
    from app.settings.urls import parse_database_url

    url = settings_or_fail().database_url
    try:
        target = parse_database_url(to)
    except ValueError as error:
        fail(WRONG, f"--to: {error}")
    logging.getLogger("app").setLevel(logging.CRITICAL)  # what fails is told below
    try:
        seen = inspect(url)
        if seen.schema is SchemaState.EMPTY:
            fail(REFUSED, f"DATABASE_URL: there is no database of this service in {seen.place} yet: nothing to copy")
        copied = _with_a_bar(url, target)
    except NotCopied as told:
        fail(REFUSED, str(told))
    except DatabaseError as unusable:
        fail(UNREACHABLE, str(unusable))
    except KeyboardInterrupt:
        fail(_INTERRUPTED, "Interrupted: run the command again to go on.")
    for name, total in copied.items():
        typer.echo(f"{name:<16} {total.rows:>10} rows  {total.checksum}")
    typer.echo("Both databases hold the same. Set DATABASE_URL to the new one, then start the service.")


def _with_a_bar(source: str, target: str) -> "dict[str, Sum]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from app.outbox.copying import copy_database

    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(table, total=total)
            progress.update(tasks[table], completed=done)

        return copy_database(source, target, tell)
