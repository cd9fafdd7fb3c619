"""Markers of commits: they show after a lost connection whether PostgreSQL committed the transaction.

Each process has one row in `writers`, and each of its transactions numbers itself there. A COMMIT whose reply was lost
is thus neither repeated if it succeeded, nor forgotten if it failed. SQLite has no connection to lose.
"""

import time
import uuid
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, Engine, bindparam, delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.outbox.schema import writers
from app.outbox.transitions import write_history

MAX_AGE: Final = timedelta(days=1)
"""Age at which a marker is deleted. Its process has ended, or has written nothing since."""
RETRY_DELAY: Final = 0.1  # seconds

_NUMBER: Final = insert(writers).values(
    process=bindparam("own"), last_batch=bindparam("number"), updated_at=func.clock_timestamp()
)
_WRITE: Final = _NUMBER.on_conflict_do_update(
    index_elements=[writers.c.process],
    set_={"last_batch": _NUMBER.excluded.last_batch, "updated_at": _NUMBER.excluded.updated_at},
)
# Not SELECT … FOR UPDATE: that would not wait for a transaction that is inserting the row, the first of its process.
_READ: Final = _NUMBER.on_conflict_do_update(
    index_elements=[writers.c.process], set_={"last_batch": writers.c.last_batch}
).returning(writers.c.last_batch)


class OutcomeUnknownError(Exception):
    """The reply to a COMMIT was lost, and the marker could not be read in time."""


class CommitMarker:
    """The marker of one process. `number` is that of its current transaction."""

    def __init__(self, engine: Engine) -> None:
        """Use the writing engine of a PostgreSQL database."""
        self._engine = engine
        self._process = str(uuid.uuid4())
        self.number = 1

    def write(self, connection: Connection) -> None:
        """Write the number of the transaction, as its last statement: after it only COMMIT can fail."""
        write_history(connection)
        connection.execute(_WRITE, {"own": self._process, "number": self.number})

    def advance(self) -> None:
        """Use the next number, since a transaction has this one, or may have it."""
        self.number += 1

    def is_committed(self, retry_until: float) -> bool:
        """Return whether the transaction with the current number was committed, once the lost connection has ended.

        `retry_until`: monotonic seconds. Raises `OutcomeUnknownError` if the marker can't be read by then.
        """
        while True:
            try:
                with self._engine.begin() as connection:
                    last_batch = connection.execute(_READ, {"own": self._process, "number": 0}).scalar_one()
            except (DBAPIError, PoolTimeout) as error:
                if time.monotonic() >= retry_until:
                    raise OutcomeUnknownError from error
                time.sleep(RETRY_DELAY)
            else:
                return bool(last_batch == self.number)


def delete_stale_markers(connection: Connection) -> None:
    """Delete the markers that no process has written for a day. Does nothing on SQLite.

    By the server's clock, which also dates them: with a clock that runs ahead, a service would delete markers in use.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(delete(writers).where(writers.c.updated_at < func.clock_timestamp() - MAX_AGE))
