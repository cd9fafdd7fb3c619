"""Postpone attempts for which their phone has no room.

Admission counts a waiting callback as if it was sent at once. After an outage of Chaser many wait, and each rings later
than was counted, perhaps beside calls that were planned for that time.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, update

from app.outbox import phone_callbacks
from app.outbox.advisory_locks import phone_name, try_lock
from app.outbox.phone_callbacks import PhoneCap
from app.outbox.rings import Ring, exceeds_any
from app.outbox.schema import callbacks

_POSTPONED: Final = timedelta(minutes=1)


def within_cap(
    connection: Connection, rows: Sequence[Row[Any]], now: datetime, cap: PhoneCap
) -> tuple[list[Row[Any]], list[Ring]]:
    """Return the due callbacks whose phones have room, with the rings of their attempts; postpone the others.

    `rows` are locked rows of `callbacks`. Those without room are due again a minute later, until they expire.
    """
    if not rows:
        return [], []
    # A replica that claims another callback of the phone at this moment holds the lock. These are claimed later.
    locked = try_lock(connection, {phone_name(row.client_phone) for row in rows})
    rows = [row for row in rows if phone_name(row.client_phone) in locked]
    found = phone_callbacks.load(connection, {row.client_phone for row in rows}, now, cap.limits)
    rang: dict[str, list[Ring]] = {}
    for one in found.values():
        rang.setdefault(one.phone, []).extend(one.rang)
    sent, rings, late = [], [], []
    for row in rows:
        ring, others = cap.ring_time(row, now), rang.setdefault(row.client_phone, [])
        if exceeds_any(others, ring, cap.limits):
            late.append(row.id)
            continue
        others.append(ring)
        sent.append(row)
        rings.append(ring)
    if late:
        connection.execute(update(callbacks).where(callbacks.c.id.in_(late)).values(due_at=now + _POSTPONED))
    return sent, rings
