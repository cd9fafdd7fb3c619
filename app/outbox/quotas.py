"""Quotas: how often one phone, one visitor and one site may ask. Counted where the callbacks are, exactly.

A limit of n in a window is reached when the n-th newest callback is still inside the window. That one row answers both
questions, whether to refuse and for how long, by one step into an index.

An IPv6 visitor is counted in his /64, and with more room in the /56 and the /48 around it: whoever is given one of
those would otherwise have a fresh quota for each network in it.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from limits import RateLimitItem
from sqlalchemy import ColumnElement, Connection, Select, func, select

from app.errors import TooMany
from app.logs import event
from app.outbox.callback import Callback
from app.outbox.clock_set_back import CLOCKS_DIFFER
from app.outbox.schema import callbacks

log = logging.getLogger(__name__)

_INSTANT = timedelta(microseconds=1)  # a window of an hour does not hold what was exactly an hour ago

BUCKETS: Final = (("client_bucket", 1), ("client_bucket_56", 4), ("client_bucket_48", 16))
"""The columns a visitor is counted by, and how many times the limit may be used in each: as the flood limit has it."""

ROOM: Final = 5
"""How many times the limits of a visitor's network may be used by those who solved a challenge.

A mobile carrier puts fifty honest people behind one address; the challenge makes it dear to be fifty people alone.
"""

_ALL: Final = 100
_WARN_AT: Final = (80, _ALL)

Limits = tuple[RateLimitItem, ...]


@dataclass(frozen=True, slots=True)
class Quotas:
    """The caps in force for one site. ``per_phone`` counts over all sites."""

    per_phone: Limits
    per_client: Limits
    per_client_phones: Limits
    per_site: Limits


_DETAILS = {
    "quota_phone": "This number has been asked for often enough for now. Please try again later.",
    "quota_client": "Too many requests from your network. Please try again later.",
    "quota_client_phones": "Too many different numbers from your network. Please try again later.",
    "quota_site": "This site takes no more requests for now. Please try again later.",
}


def check_quotas(connection: Connection, callback: Callback, quotas: Quotas, *, solved: bool = False) -> None:
    """Raise TooMany, naming the quota and the wait, when the callback would be one too many. Writes nothing.

    ``solved``: did its visitor solve a challenge.
    """
    for code, limits, weight, newest in _queries(callback, quotas, ROOM if solved else 1):
        for limit in limits:
            window = timedelta(seconds=limit.get_expiry())
            # The clocks of replicas may differ by a little; what lies further ahead was redated before.
            within = (callback.created_at - window + _INSTANT, callback.created_at + CLOCKS_DIFFER)
            last = newest(within).offset(limit.amount * weight - 1).limit(1)
            reached = connection.execute(last).scalar_one_or_none()
            if reached is not None:
                wait = min(reached + window - callback.created_at, window)
                raise TooMany(code, _DETAILS[code], retry_after=wait.total_seconds())


def warn_of_budget(connection: Connection, callback: Callback, quotas: Quotas) -> None:
    """Tell the log when a callback that was just written brings its site to 80 or 100 % of what it may spend."""
    newest = _Newest(callbacks.c.site == callback.site)
    for limit in quotas.per_site:
        window = timedelta(seconds=limit.get_expiry())
        within = (callback.created_at - window + _INSTANT, callback.created_at + CLOCKS_DIFFER)
        for percent in _WARN_AT:
            number = math.ceil(limit.amount * percent / 100)
            reached = connection.execute(newest(within).offset(number - 1).limit(2)).all()
            if len(reached) == 1:  # this many, and not one more
                level = logging.ERROR if percent == _ALL else logging.WARNING
                event(log, "quota.site_budget", level, site=callback.site, percent=percent, limit=str(limit))


def _queries(callback: Callback, quotas: Quotas, room: int) -> Iterator[tuple[str, Limits, int, "_Newest"]]:
    table = callbacks.c
    yield "quota_phone", quotas.per_phone, 1, _Newest(table.client_phone == callback.client_phone)
    for name, weight in BUCKETS:
        bucket = getattr(callback, name)
        if bucket is None:
            continue
        same_client = table[name] == bucket
        yield "quota_client", quotas.per_client, room * weight, _Newest(same_client)
        others = same_client & (table.client_phone != callback.client_phone)
        yield "quota_client_phones", quotas.per_client_phones, room * weight, _Newest(others, each_phone_once=True)
    yield "quota_site", quotas.per_site, 1, _Newest(table.site == callback.site)


@dataclass(frozen=True, slots=True)
class _Newest:
    """The times of the callbacks that count, newest first; of several for one phone perhaps only the last."""

    which: ColumnElement[bool]
    each_phone_once: bool = False

    def __call__(self, within: tuple[datetime, datetime]) -> Select[datetime]:
        created_at = callbacks.c.created_at
        counted = self.which & created_at.between(*within)
        if not self.each_phone_once:
            return select(created_at).where(counted).order_by(created_at.desc())
        last = func.max(created_at, type_=created_at.type)
        return select(last).where(counted).group_by(callbacks.c.client_phone).order_by(last.desc())
