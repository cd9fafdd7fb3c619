"""The lifespan: a start that fails halfway undoes what it began and says why in one line; the end is heard at once."""

import logging
from collections.abc import MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.main import Application, create_app
from app.outbox.outbox import Outbox
from tests.databases import PostgreSQL
from tests.routes.refusal import CANARY
from tests.running import settings


async def lifespan(app: Application) -> list[MutableMapping[str, Any]]:
    """Run the lifespan as a server does, to its end; gives what the server was told."""
    events = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))
    told: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return next(events)

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return told


async def test_a_lifespan_begins_and_ends(tmp_path: Path) -> None:
    told = await lifespan(create_app(settings(tmp_path)))
    assert told == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def test_a_database_that_goes_away_while_the_service_starts_is_told_in_one_line(postgresql: PostgreSQL) -> None:
    chosen = settings(Path(), database_url=postgresql.new_database())
    outbox = Outbox.open(chosen.database_url)
    postgresql.drop(chosen.database_url)
    (told,) = await lifespan(create_app(chosen, outbox=outbox))
    assert told["type"] == "lifespan.startup.failed"
    assert told["message"].startswith("DATABASE_URL: the database opened, but ")
    assert "\n" not in told["message"]


async def test_an_error_nobody_expected_at_the_start_is_logged_without_its_text_and_undoes_what_was_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_clock() -> datetime:
        raise RuntimeError(CANARY)

    chosen = settings(tmp_path)
    with caplog.at_level(logging.ERROR, "app"):
        told = await lifespan(create_app(chosen, clock=broken_clock))
    assert told == [{"type": "lifespan.startup.failed", "message": ""}]
    assert [record.message for record in caplog.records] == ["service.unexpected_error"]
    Outbox.open(chosen.database_url).close()  # it can be opened again: the first one was closed
