"""An open outbox on each kind of database."""

from collections.abc import AsyncIterator

import pytest

from tests.outbox.factories import InspectableOutbox


@pytest.fixture
async def outbox(migrated_url: str) -> AsyncIterator[InspectableOutbox]:
    """Open an outbox without rows."""
    opened = InspectableOutbox.open(migrated_url)
    yield opened
    opened.close()
