"""The command `chaser-callback db`: maintenance of the database by hand."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from app.cli.exit_codes import REFUSED, UNREACHABLE, USAGE_ERROR, fail, settings_or_fail

db = typer.Typer(help="Migrate, vacuum or copy the database of the settings.", no_args_is_help=True)
_INTERRUPTED = 130


@db.command()
def upgrade() -> None:
    """Migrate the tables to this version now. The service does the same at its start.

    On PostgreSQL this works while replicas run, except for the upgrade to 0.2: see UPGRADING.md. A SQLite file belongs
    to one process: stop the service first.
    """
    from app.outbox.database import open_database
    from app.outbox.migrate import SchemaState, migrate, schema_revision, schema_state

    url = settings_or_fail().database_url
    with _database_error_in_one_line(), closing(open_database(url)) as database:
        with database.writing.connect() as connection:
            before = schema_state(schema_revision(connection))
        migrate(database.writing)
    messages = {
        SchemaState.EMPTY: "The tables were created.",
        SchemaState.OLDER: "The tables were brought up to date.",
        SchemaState.CURRENT: "The tables are up to date already.",
    }
    typer.echo(messages[before])


@db.command()
def vacuum() -> None:
    """Return the disk space of erased callbacks.

    A SQLite file is rewritten: stop the service first, and have as much free space as the file is large. PostgreSQL
    keeps the space for new rows; the service can run meanwhile.
    """
    from app.outbox.database import open_database
    from app.outbox.vacuum import vacuum as vacuum_database

    url = settings_or_fail().database_url
    with _database_error_in_one_line():
        _require_tables(url, "vacuum")
        with closing(open_database(url)) as database:
            before, after = vacuum_database(database)
    typer.echo(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")


@db.command()
def copy(
    to: Annotated[str, typer.Option(help="A new, empty database: sqlite:///… or postgresql://…")],
) -> None:
    """Copy everything into another database, and hand over to it.

    Stop the service first. If the copy is interrupted, nothing is copied: run the command again. Then set DATABASE_URL
    to the new database: no service starts on the old one any more.
    """
    from app.outbox.copying import NotCopied
    from app.settings.urls import parse_database_url

    url = settings_or_fail().database_url
    try:
        target = parse_database_url(to)
    except ValueError as error:
        fail(USAGE_ERROR, f"--to: {error}")
    try:
        with _database_error_in_one_line():
            _require_tables(url, "copy")
            copied = _copy_with_progress(url, target)
    except NotCopied as error:
        fail(REFUSED, str(error))
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


def _require_tables(url: str, action: str) -> None:
    from app.outbox.inspect_database import inspect
    from app.outbox.migrate import SchemaState

    info = inspect(url)
    if info.schema is SchemaState.EMPTY:
        fail(REFUSED, f"DATABASE_URL: there is no database of this service in {info.place} yet: nothing to {action}")


@contextmanager
def _database_error_in_one_line() -> Iterator[None]:
    from app.outbox.database import DatabaseError

    logging.getLogger("app").setLevel(logging.CRITICAL)  # otherwise the log would repeat the line below
    try:
        yield
    except DatabaseError as error:
        fail(UNREACHABLE, str(error))
