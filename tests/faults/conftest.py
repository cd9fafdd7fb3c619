"""What the fault tests share: where replicas come from, time for long doses, and the figures at the end."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.databases import PostgreSQL
from tests.faults.doses import FIGURES, LONG
from tests.faults.servers import Nursery, RestartedPostgreSQL

_AN_HOUR = 3600


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


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        if LONG and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_AN_HOUR))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section(f"faults, {'long' if LONG else 'short'} dose")
        for line in FIGURES:
            terminalreporter.line(line)
