"""chaser-callback db: what is done to the database by hand."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager

import typer

from app.cli.db_copy_command import copy
from app.cli.exit_codes import REFUSED, UNREACHABLE, fail, settings_or_fail

db = typer.Typer(help="The database of the settings: its tables and its room.", no_args_is_help=True)
db.command()(copy)


@db.command()
def upgrade() -> None:
    """Bring the tables up to date now. The service does the same at its start.

    On PostgreSQL this works while replicas run. SQLite's file belongs to one process: stop the service first.
    """
    from app.outbox.database import open_database
    from app.outbox.migrate import SchemaState, migrate, schema_state

    url = settings_or_fail().database_url
    with _told_in_a_line(), closing(open_database(url)) as database:
        with database.writing.connect() as connection:
            before = schema_state(connection)
        migrate(database.writing)
    told = {
        SchemaState.EMPTY: "The tables were made.",
        SchemaState.OLDER: "The tables were brought up to date.",
        SchemaState.CURRENT: "The tables are up to date already.",
    }
    typer.echo(told[before])


@db.command()
def vacuum() -> None:
    """Give the room of erased callbacks back to the disk.

    SQLite's file is written anew, for which the service has to be stopped and as much room as the file has be free.
    PostgreSQL keeps the room for new rows and works on meanwhile.
    """
    from app.outbox.database import open_database
    from app.outbox.inspect_database import inspect
    from app.outbox.migrate import SchemaState
    from app.outbox.vacuum import vacuum as tidy

    url = settings_or_fail().database_url
    with _told_in_a_line():
        seen = inspect(url)
        if seen.schema is SchemaState.EMPTY:
            fail(REFUSED, f"DATABASE_URL: there is no database of this service in {seen.place} yet: nothing to do")
        with closing(open_database(url)) as database:
            before, after = tidy(database)
    typer.echo(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")


@contextmanager
def _told_in_a_line() -> Iterator[None]:
    from app.outbox.database import DatabaseError

    logging.getLogger("app").setLevel(logging.CRITICAL)  # what fails is told below
    try:
        yield
    except DatabaseError as unusable:
        fail(UNREACHABLE, str(unusable))
