"""Fixtures shared by all tests."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from app.outbox.outbox import Outbox
from tests.databases import PostgreSQL
from tests.faults.doses import FIGURES, LONG

_HOUR = 3600  # seconds

# Tests share the cores with servers and browsers: a single slow example must not fail.
hypothesis.settings.register_profile("shared-cores", deadline=None)
hypothesis.settings.load_profile("shared-cores")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, like the service."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server for the whole run, started for the first test that uses it."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        server = PostgreSQL(Path(folder) / "data")
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The DATABASE_URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/callbacks.db"
    return request.getfixturevalue("postgresql").new_database()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with all tables and no rows, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "callbacks.db"
    Outbox.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The DATABASE_URL of a database of each kind with all tables and no rows."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "callbacks.db")
        yield f"sqlite:///{tmp_path}/callbacks.db"
    else:
        with request.getfixturevalue("postgresql").migrated_database() as url:
            yield url


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Raise the timeout of all tests in a run with long doses."""
    for item in items:
        if LONG:
            item.add_marker(pytest.mark.timeout(_HOUR))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the figures of a worker process to the main process."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = FIGURES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Receive the figures of a worker process that has finished."""
    FIGURES.extend(getattr(node, "workeroutput", {}).get("figures", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures measured by the tests."""
    if FIGURES:
        terminalreporter.section(f"figures, {'long' if LONG else 'short'} doses")
        for line in FIGURES:
            terminalreporter.line(line)
