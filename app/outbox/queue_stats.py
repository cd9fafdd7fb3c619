"""SQL of looking at the queue: what waits, and since when. By partial indexes, so it costs what waits and no more."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, select, union_all

from app.outbox.callback import Status
from app.outbox.plans import has_status
from app.outbox.schema import Instant, callbacks

OPEN_STATUSES: Final = (Status.HELD, Status.QUEUED, Status.SENDING, Status.UNKNOWN)
"""Those in which a callback is not at its end. Of ``unknown`` ones only those that are still to be sent once more."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many callbacks are in one state, and since when the oldest of them waits; None when there is none."""

    count: int
    since: datetime | None


def queue_stats(connection: Connection) -> dict[Status, QueueDepth]:
    """Give the line of each of OPEN_STATUSES.

    What was released or retried waits since then, and what is planned since it was accepted, for Chaser takes it at
    once and with its time.
    """
    table = callbacks.c
    ready = func.coalesce(table.available_at, table.created_at, type_=Instant())
    waiting = select(table.status, func.count().label("count"), func.min(ready, type_=Instant()).label("since"))
    held = select(table.status, func.count(), func.min(table.created_at, type_=Instant()))
    rows = connection.execute(
        union_all(
            held.where(has_status(Status.HELD)).group_by(table.status),
            waiting.where(table.due_at.is_not(None)).group_by(table.status),
            waiting.where(table.lease_until.is_not(None)).group_by(table.status),
        )
    )
    found = {Status(status): QueueDepth(count, since) for status, count, since in rows}
    return {status: found.get(status, QueueDepth(0, None)) for status in OPEN_STATUSES}
