"""Shift stored times that lie in the future because the clock was set back.

While the service runs, the jump is known to about a second. After a restart only a lower bound is known, the newest
stored time. Times that are not in the future stay: perhaps the clock is right only now.

Two bounds hold after a jump. No request counts in a quota for longer than the quota's window. No callback waits longer
for its next attempt than it was to wait after the last one.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, case, func, literal, select, union_all, update

from app.outbox.schema import Instant, callbacks, request_keys

MAX_CLOCK_SKEW: Final = timedelta(minutes=1)
"""How far the clocks of replicas may differ. Times that are less far ahead stay."""

_AHEAD = union_all(
    *(
        select(func.max(table.c.created_at, type_=Instant()).label("newest")).where(
            table.c.created_at > bindparam("from")
        )
        for table in (callbacks, request_keys)
    )
).subquery()
_NEWEST_AHEAD = select(func.max(_AHEAD.c.newest, type_=Instant()))


def shift_future_requests(connection: Connection, now: datetime, seen: datetime | None) -> None:
    """Shift the callbacks and request keys created after `now`, all by as much as the clock was set back.

    `seen` is the last time read from the clock, None if unknown. If the newest callback is later than that, it counts
    as requested now. The distances between requests stay, because they decide which are duplicates. An expected time
    equal to the time of the request moves along: otherwise it would look like a call still to come. If there is nothing
    to shift, it costs one lookup in each index.
    """
    newest = connection.execute(_NEWEST_AHEAD, {"from": now + MAX_CLOCK_SKEW}).scalar_one()
    if newest is not None:
        last_seen = literal(max(newest, seen or newest), Instant())
        shifted = {
            table: literal(now, Instant()) - (last_seen - table.c.created_at) for table in (callbacks, request_keys)
        }
        expected = callbacks.c.call_expected_at
        at_once = {"call_expected_at": case((expected == callbacks.c.created_at, shifted[callbacks]), else_=expected)}
        for table, columns in ((callbacks, at_once), (request_keys, {})):
            ahead = table.c.created_at > now + MAX_CLOCK_SKEW
            connection.execute(update(table).where(ahead).values(created_at=shifted[table], **columns))


def shift_future_waits(connection: Connection, now: datetime) -> None:
    """Restart waits that began after `now`, each with its full length from `now`.

    Reads all waiting callbacks, so it is too slow for every second.
    """
    waits = callbacks.c.due_at - callbacks.c.updated_at
    connection.execute(
        update(callbacks)
        .where(callbacks.c.due_at > now, callbacks.c.updated_at > now + MAX_CLOCK_SKEW)
        .values(due_at=literal(now, Instant()) + waits, updated_at=now)
    )
