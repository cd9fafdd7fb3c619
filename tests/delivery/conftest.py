"""A service with a clock that only the test advances, against a simulated Chaser that can fail."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.running import AT_ONCE, Chaser, Clock, Service, chaser, service, settings

Attempts = Callable[[str], list[tuple[str, int | None]]]


@pytest.fixture(scope="module")
def far_side_of_module() -> Iterator[Chaser]:
    with chaser() as far_side:
        yield far_side


@pytest.fixture
def far_side(far_side_of_module: Chaser) -> Iterator[Chaser]:
    assert far_side_of_module.http.post("reset", json={}).is_success
    yield far_side_of_module
    far_side_of_module.clear_faults()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path, far_side: Chaser, clock: Clock) -> Iterator[Service]:
    overrides: dict[str, Any] = getattr(request, "param", {})
    with service(settings(tmp_path, far_side.api_url, **overrides), clock=clock, poll_interval=AT_ONCE) as running:
        yield running


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    """Return a function that reads the outcomes and HTTP statuses of a callback's attempts, in order."""

    def of(callback_id: str) -> list[tuple[str, int | None]]:
        with closing(sqlite3.connect(f"file:{tmp_path}/callbacks.db?mode=ro", uri=True)) as database:
            return database.execute(
                "SELECT outcome, http_status FROM attempts WHERE callback_id = ? ORDER BY number", [callback_id]
            ).fetchall()

    return of


@pytest.fixture
def reason(tmp_path: Path) -> Callable[[str], str | None]:
    """Return a function that reads the reason of a callback's status."""

    def of(callback_id: str) -> str | None:
        with closing(sqlite3.connect(f"file:{tmp_path}/callbacks.db?mode=ro", uri=True)) as database:
            ((value,),) = database.execute("SELECT reason FROM callbacks WHERE id = ?", [callback_id])
        return None if value is None else str(value)

    return of
