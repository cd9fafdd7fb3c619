"""What the fault tests share: where replicas come from."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import PostgreSQL
from tests.faults.servers import Nursery, RestartedPostgreSQL


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where replicas come from."""
    running = Nursery()
    yield running
    running.close()


@pytest.fixture
def own_postgresql(postgresql: PostgreSQL) -> Iterator[RestartedPostgreSQL]:
    """A PostgreSQL for one test, which may do to it what it likes.

    It comes after the common one, which makes the folder where all servers of a run meet.
    """
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = RestartedPostgreSQL(Path(folder) / "data")
        yield server
        server.stop()
