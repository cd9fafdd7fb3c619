"""The command `chaser-callback db copy`: copy the whole database into another one, with a progress bar."""

import logging
from typing import Annotated

import typer

from app.cli.exit_codes import REFUSED, UNREACHABLE, USAGE_ERROR, fail, settings_or_fail

_INTERRUPTED = 130


def copy(
    to: Annotated[str, typer.Option(help="A new, empty database: sqlite:///… or postgresql://…")],
) -> None:
    """Copy everything into another database, and hand over to it.

    Stop the service first. If the copy is interrupted, nothing is copied: run the command again. Then set DATABASE_URL
    to the new database: no service starts on the old one any more.
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
        fail(USAGE_ERROR, f"--to: {error}")
    logging.getLogger("app").setLevel(logging.CRITICAL)  # otherwise the log would repeat the lines below
    try:
        info = inspect(url)
        if info.schema is SchemaState.EMPTY:
            fail(REFUSED, f"DATABASE_URL: there is no database of this service in {info.place} yet: nothing to copy")
        copied = _copy_with_progress(url, target)
    except NotCopied as error:
        fail(REFUSED, str(error))
    except DatabaseError as error:
        fail(UNREACHABLE, str(error))
    except KeyboardInterrupt:
        fail(_INTERRUPTED, "Interrupted: nothing was copied. Run the command again.")
    for name, total in copied.items():
        typer.echo(f"{name:<16} {total:>10} rows")
    typer.echo("The copy is complete. Set DATABASE_URL to the new one, then start the service.")


def _copy_with_progress(source: str, target: str) -> dict[str, int]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from app.outbox.copying import copy_database

    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def report(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(table, total=total)
            progress.update(tasks[table], completed=done)

        return copy_database(source, target, report)
