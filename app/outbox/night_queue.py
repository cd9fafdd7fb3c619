"""The queue of calls that were asked for while a site was closed: who stands where, and when that call is expected.

The queue that counts is Chaser's own: with ``nwt_action=always_call`` it makes the calls of a night one after another,
from ``call_stack_start_hour`` on, ``call_stack_interval`` minutes apart. It tells nobody how long that queue is. So
this is what we know: the callbacks of the site that this service has taken for the same start. Requests that Chaser
got from elsewhere stand in its queue too, and then a call comes later than we say.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, exists, func, select

from app.outbox.callback import Callback, Status
from app.outbox.schema import callbacks, request_keys

# What failed or was cancelled has left the queue, and what is held hasn't joined it.
_IN_LINE = (Status.QUEUED, Status.SENDING, Status.PLACED, Status.UNKNOWN)


def call_at(start: datetime, interval: int | None, place: int) -> datetime:
    """Give the time of the call at a place in the queue, 0 the first. ``interval``: minutes; None: all at the start.

    A long queue goes on past closing time: what Chaser does then is not documented.
    """
    return start + place * timedelta(minutes=interval or 0)


def next_place(connection: Connection, site: str, start: datetime) -> int:
    """Count the callbacks of a site that wait for the calls that begin at ``start``: the place of who asks next.

    Counted are those expected at the start or later. A planned call is made at its time and stands in no queue. Who
    asked for a number that was asked for before took a place as well, or its lack would tell him so.
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
    """Tell whether a callback waits for the start of a day's calls, and not for its own time, or for none."""
    expected_at = callback.call_expected_at
    no_wait = (None, callback.created_at, callback.planned_time)
    return callback.nwt_action == "always_call" and expected_at not in no_wait


def in_line(connection: Connection, callback: Callback) -> Callback:
    """Give a new callback with its place in the queue counted into ``call_expected_at``, which is the start so far.

    One that doesn't stand in line stays as it is.
    """
    start = callback.call_expected_at
    if start is None or not stands_in_line(callback):
        return callback
    place = next_place(connection, callback.site, start)
    return replace(callback, call_expected_at=call_at(start, callback.call_stack_interval, place))
