"""Query the depth of the queue, and whether it can be written. Partial indexes limit the reads to waiting rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, select, text, union_all

from app.outbox.callback import Status
from app.outbox.schema import Instant, callbacks

OPEN_STATUSES: Final = (Status.HELD, Status.QUEUED, Status.SENDING, Status.UNKNOWN)
"""The statuses of unfinished callbacks. Of the `unknown` ones only those count that are due to be resent."""


# Rewrites the one row of `alembic_version` with its own value.
_WRITE_PROBE: Final = text("UPDATE alembic_version SET version_num = version_num")
_WAITING: Final = select(func.count()).where(callbacks.c.due_at.is_not(None))


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many callbacks have one status, and since when the oldest of them waits; None if there are none."""

    count: int
    since: datetime | None


def check_writable(connection: Connection) -> None:
    """Check that the database accepts a write: one that is full or read-only still answers queries.

    In a transaction of its own: all replicas write the same row, so it must not stay locked while other work runs.
    """
    connection.execute(_WRITE_PROBE)


def waiting(connection: Connection) -> int:
    """Count the callbacks that wait for an attempt."""
    return connection.execute(_WAITING).scalar_one()


def queue_stats(connection: Connection) -> dict[Status, QueueDepth]:
    """Return the queue depth of each of `OPEN_STATUSES`.

    A released or retried callback waits since then. A planned one waits since it was accepted, because Chaser takes it
    at once together with its time.
    """
    table = callbacks.c
    ready = func.coalesce(table.available_at, table.created_at, type_=Instant())
    waiting = select(table.status, func.count().label("count"), func.min(ready, type_=Instant()).label("since"))
    held = select(table.status, func.count(), func.min(table.created_at, type_=Instant()))
    rows = connection.execute(
        union_all(
            held.where(text("status = 'held'")).group_by(table.status),
            waiting.where(table.due_at.is_not(None)).group_by(table.status),
            waiting.where(table.lease_until.is_not(None)).group_by(table.status),
        )
    )
    depths = {Status(status): QueueDepth(count, since) for status, count, since in rows}
    return {status: depths.get(status, QueueDepth(0, None)) for status in OPEN_STATUSES}
