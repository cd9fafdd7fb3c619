"""Fixtures that every room of the tests uses."""

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

_AN_HOUR = 3600

# Cores are shared with servers and browsers: no example may fail for being slow once.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, which the service itself runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A real PostgreSQL server for the whole run, started when the first test asks for it."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        server = PostgreSQL(Path(folder) / "data")
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind, as the setting DATABASE_URL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/callbacks.db"
    return request.getfixturevalue("postgresql").new_database()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with all tables and no rows, for copies of it."""
    file = tmp_path_factory.mktemp("migrated") / "callbacks.db"
    Outbox.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind with all tables and no rows, as the setting DATABASE_URL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "callbacks.db")
        yield f"sqlite:///{tmp_path}/callbacks.db"
    else:
        with request.getfixturevalue("postgresql").migrated_database() as url:
            yield url


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Give long doses their time."""
    for item in items:
        if LONG:
            item.add_marker(pytest.mark.timeout(_AN_HOUR))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the figures over, where several processes share the tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = FIGURES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take them from a process that is done."""
    FIGURES.extend(getattr(node, "workeroutput", {}).get("figures", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that the run noted: they are its record."""
    if FIGURES:
        terminalreporter.section(f"figures, {'long' if LONG else 'short'} doses")
        for line in FIGURES:
            terminalreporter.line(line)
