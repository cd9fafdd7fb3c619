"""A clock that was set back leaves times behind that lie ahead. They are moved to where they can do no harm.

How far the clock was moved is known to a second or so while the service runs, and else by the newest of these times at
least. What lies in the past by the new time is left alone: perhaps only now the clock is right. So what is certain is a
bound: from the moment the clock was set back, no request limits anybody for longer than the window of its quota, and no
callback waits for its next attempt longer than it was to wait from the last one.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, case, func, literal, select, union_all, update

from app.outbox.schema import Instant, callbacks, request_keys

CLOCKS_DIFFER: Final = timedelta(minutes=1)
"""How far the clocks of replicas may differ: what is less ahead than this stays as it is."""

_AHEAD = union_all(
    *(
        select(func.max(table.c.created_at, type_=Instant()).label("newest")).where(
            table.c.created_at > bindparam("from")
        )
        for table in (callbacks, request_keys)
    )
).subquery()
_NEWEST_AHEAD = select(func.max(_AHEAD.c.newest, type_=Instant()))


def redate_requests(connection: Connection, now: datetime, seen: datetime | None) -> None:
    """Move callbacks and request keys that came after ``now`` back, all by as much as the clock was.

    ``seen``: what the clock last showed, None when nobody has looked yet. The newest callback counts as asked for now
    when it is later than that. Their distances stay: of two requests an hour apart only the later one may be the same
    wish as one that comes now. A call that was expected at once stays so: else it would look like one still to come.
    It costs one look at the end of an index where there is nothing to do.
    """
    newest = connection.execute(_NEWEST_AHEAD, {"from": now + CLOCKS_DIFFER}).scalar_one()
    if newest is not None:
        showed = literal(max(newest, seen or newest), Instant())
        moved = {table: literal(now, Instant()) - (showed - table.c.created_at) for table in (callbacks, request_keys)}
        expected = callbacks.c.call_expected_at
        at_once = {"call_expected_at": case((expected == callbacks.c.created_at, moved[callbacks]), else_=expected)}
        for table, columns in ((callbacks, at_once), (request_keys, {})):
            ahead = table.c.created_at > now + CLOCKS_DIFFER
            connection.execute(update(table).where(ahead).values(created_at=moved[table], **columns))


def redate_waits(connection: Connection, now: datetime) -> None:
    """Let what was to wait for a while, counted from a time after ``now``, wait for that while from now on.

    Reads all that waits, so it is not for every second.
    """
    waits = callbacks.c.due_at - callbacks.c.updated_at
    connection.execute(
        update(callbacks)
        .where(callbacks.c.due_at > now, callbacks.c.updated_at > now + CLOCKS_DIFFER)
        .values(due_at=literal(now, Instant()) + waits, updated_at=now)
    )
