"""Fixtures of the fault tests: the fork server of replicas, and a PostgreSQL that can be stopped."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import PostgreSQL
from tests.faults.servers import ForkServer, RestartedPostgreSQL


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """The process that forks replicas."""
    running = ForkServer()
    yield running
    running.close()


@pytest.fixture
def own_postgresql(postgresql: PostgreSQL) -> Iterator[RestartedPostgreSQL]:
    """A PostgreSQL for one test only, which can stop, restart and suspend it.

    Requires the shared server first, which creates the socket folder of all servers.
    """
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = RestartedPostgreSQL(Path(folder) / "data")
        yield server
        server.stop()
