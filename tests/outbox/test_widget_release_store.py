"""Releases of the widget are stored for pages that request them later."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.errors import UnavailableError
from app.outbox.database import open_database
from tests.outbox.factories import InspectableOutbox

NOW = datetime(2026, 11, 23, tzinfo=UTC)
FILES = {"widget.js": b"(()=>{})()", "dialog.js": "export const в=1".encode(), "empty.js": b""}


async def test_a_release_is_loaded_as_it_was_stored(outbox: InspectableOutbox) -> None:
    await outbox.save_release("0123456789ab", FILES, NOW)
    await outbox.save_release("cdef01234567", {"widget.js": b"other"}, NOW)
    assert await outbox.load_release("0123456789ab") == FILES
    assert await outbox.load_release("cdef01234567") == {"widget.js": b"other"}
    assert await outbox.release_versions() == {"0123456789ab", "cdef01234567"}


async def test_a_release_that_was_never_stored_has_no_files(outbox: InspectableOutbox) -> None:
    assert await outbox.load_release("0123456789ab") == {}
    assert await outbox.release_versions() == set()


async def test_a_release_is_stored_once_however_often_the_service_starts(outbox: InspectableOutbox) -> None:
    for _ in range(3):
        await outbox.save_release("0123456789ab", FILES, NOW)
    assert await outbox.load_release("0123456789ab") == FILES


async def test_an_unreadable_database_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "callbacks.db").write_bytes(b"no database any more")
    database = open_database(f"sqlite:///{tmp_path}/callbacks.db")
    with closing(InspectableOutbox(database)) as outbox, pytest.raises(UnavailableError):
        await outbox.load_release("0123456789ab")
