"""The command `chaser-callback db`: maintenance of the database by hand."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager

import typer

from app.cli.db_copy_command import copy
from app.cli.exit_codes import REFUSED, UNREACHABLE, fail, settings_or_fail

db = typer.Typer(help="Migrate, vacuum or copy the database of the settings.", no_args_is_help=True)
db.command()(copy)


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
    from app.outbox.inspect_database import inspect
    from app.outbox.migrate import SchemaState
    from app.outbox.vacuum import vacuum as vacuum_database

    url = settings_or_fail().database_url
    with _database_error_in_one_line():
        info = inspect(url)
        if info.schema is SchemaState.EMPTY:
            fail(REFUSED, f"DATABASE_URL: there is no database of this service in {info.place} yet: nothing to do")
        with closing(open_database(url)) as database:
            before, after = vacuum_database(database)
    typer.echo(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")


@contextmanager
def _database_error_in_one_line() -> Iterator[None]:
    from app.outbox.database import DatabaseError

    logging.getLogger("app").setLevel(logging.CRITICAL)  # otherwise the log would repeat the line below
    try:
        yield
    except DatabaseError as error:
        fail(UNREACHABLE, str(error))
