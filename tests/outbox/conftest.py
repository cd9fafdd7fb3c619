"""An open outbox on each kind of database."""

from collections.abc import AsyncIterator

import pytest

from app.outbox.outbox import Outbox


@pytest.fixture
async def outbox(database_url: str) -> AsyncIterator[Outbox]:
    """An empty outbox."""
    opened = Outbox.open(database_url)
    yield opened
    opened.close()
