"""The lifespan: a start that fails halfway is undone, and its reason is reported in one line."""

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
    """Run the lifespan to its end, as a server does. Returns the messages sent to the server."""
    events = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))
    messages: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return next(events)

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return messages


async def test_a_lifespan_starts_and_ends(tmp_path: Path) -> None:
    messages = await lifespan(create_app(settings(tmp_path)))
    assert messages == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def test_a_database_that_becomes_unavailable_during_the_start_is_reported_in_one_line(
    postgresql: PostgreSQL,
) -> None:
    chosen = settings(Path(), database_url=postgresql.new_database())
    outbox = Outbox.open(chosen.database_url)
    postgresql.drop(chosen.database_url)
    (message,) = await lifespan(create_app(chosen, outbox=outbox))
    assert message["type"] == "lifespan.startup.failed"
    assert message["message"].startswith("DATABASE_URL: the database opened, but ")
    assert "\n" not in message["message"]


async def test_an_unexpected_error_at_the_start_is_logged_without_its_text_and_the_start_is_undone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_clock() -> datetime:
        raise RuntimeError(CANARY)

    chosen = settings(tmp_path)
    with caplog.at_level(logging.ERROR, "app"):
        messages = await lifespan(create_app(chosen, clock=broken_clock))
    assert messages == [{"type": "lifespan.startup.failed", "message": ""}]
    assert [record.message for record in caplog.records] == ["service.unexpected_error"]
    Outbox.open(chosen.database_url).close()  # it can be opened again: the first one was closed
