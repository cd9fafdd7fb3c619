"""The after-hours queue: when a callback requested while the site is closed will be called.

With `nwt_action=always_call` Chaser makes the calls of a night one after another, from `call_stack_start_hour` on,
`call_stack_interval` minutes apart. It does not publish the length of its queue. So the position is counted among the
site's callbacks that this service accepted for the same start. Chaser also queues requests it got elsewhere, and then a
call comes later than the returned time.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, exists, func, select

from app.outbox.callback import Callback, Status
from app.outbox.schema import callbacks, request_keys

# Failed and cancelled callbacks have left the queue, and held ones have not joined it.
_IN_LINE = (Status.QUEUED, Status.SENDING, Status.PLACED, Status.UNKNOWN)


def call_at(start: datetime, interval: int | None, place: int) -> datetime:
    """Return the expected time of the call at a position in the queue, 0 being the first.

    `interval` is in minutes; with None or 0 all calls are expected at the start. A long queue continues past closing
    time: Chaser's behaviour then is not documented.
    """
    return start + place * timedelta(minutes=interval or 0)


def next_place(connection: Connection, site: str, start: datetime) -> int:
    """Return the position of the next request in a site's queue for the calls that begin at `start`, 0 being the first.

    Callbacks expected at `start` or later count, but not planned ones, which are called at their own time. Aliases,
    which are requests merged into another visitor's callback, count too. Otherwise the gap would reveal the earlier
    request.
    """
    table, keys = callbacks.c, request_keys.c
    waiting = select(func.count()).where(
        table.site == site,
        table.call_expected_at >= start,
        table.nwt_action == "always_call",
        table.planned_time.is_distinct_from(table.call_expected_at),
        table.status.in_(_IN_LINE),
    )
    of_site = exists().where(table.id == keys.callback_id, table.site == site, table.status.in_(_IN_LINE))
    aliases = select(func.count()).where(keys.call_expected_at >= start, of_site)
    both = waiting.scalar_subquery() + aliases.scalar_subquery()
    place: int = connection.execute(select(both)).scalar_one()
    return place


def stands_in_line(callback: Callback) -> bool:
    """Return whether a callback waits for the start of a day's calls, rather than for its own time or for none."""
    expected_at = callback.call_expected_at
    no_wait = (None, callback.created_at, callback.planned_time)
    return callback.nwt_action == "always_call" and expected_at not in no_wait


def in_line(connection: Connection, callback: Callback) -> Callback:
    """Return a new callback with its position in the queue added to `call_expected_at`, so far the queue's start.

    A callback that is not queued is returned unchanged.
    """
    start = callback.call_expected_at
    if start is None or not stands_in_line(callback):
        return callback
    place = next_place(connection, callback.site, start)
    return replace(callback, call_expected_at=call_at(start, callback.call_stack_interval, place))
