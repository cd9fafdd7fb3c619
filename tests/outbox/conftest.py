"""An open outbox on each kind of database, and a database of version 0.1.0 before and after its migration."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
from sqlalchemy import Connection

from app.outbox.database import Database, open_database
from app.outbox.migrate import migrate
from tests.outbox.factories import InspectableOutbox
from tests.outbox.queue_of_0_1 import Queue, make_queue, without_idle_timeout


@pytest.fixture
async def outbox(migrated_url: str) -> AsyncIterator[InspectableOutbox]:
    """Open an outbox without rows."""
    opened = InspectableOutbox.open(migrated_url)
    yield opened
    opened.close()


@pytest.fixture
def queue(database_url: str) -> Queue:
    """The full queue of a database of version 0.1.0."""
    return make_queue(database_url)


@pytest.fixture
def migrated(database_url: str, queue: Queue) -> Iterator[Database]:
    """A database that was migrated after `queue` was filled."""
    assert queue
    with closing(open_database(database_url)) as database:
        migrate(database.writing)
        yield database


@pytest.fixture
def connection(migrated: Database) -> Iterator[Connection]:
    """A connection to the migrated database."""
    with migrated.reading.connect() as connection:
        without_idle_timeout(connection)
        yield connection
