"""Quotas: how often one phone, one visitor and one site may ask. Counted where they are stored, exactly.

A limit of n in a window is reached when the n-th newest callback is still inside the window: its time answers both
questions, whether to refuse and for how long.

An IPv6 visitor is counted in his /64, and with more room in the /56 and the /48 around it: whoever is given one of
those would otherwise have a fresh quota for each network in it.

A phone's limits hold twice: for when it was asked for, and for when it rings. Calls may be planned for days ahead, and
what was asked for within all limits must not ring in one hour.
"""

import logging
import math
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from limits import RateLimitItem
from sqlalchemy import CompoundSelect, Connection, Integer, Row, bindparam, func, or_, select, union_all

from app.errors import TooManyRequestsError
from app.logs import event
from app.outbox.callback import CLIENT_BUCKETS, Callback, Status
from app.outbox.clock_set_back import CLOCKS_DIFFER
from app.outbox.repeats import ALIAS
from app.outbox.schema import Instant, callbacks, request_keys

log = logging.getLogger(__name__)

_INSTANT = timedelta(microseconds=1)  # a window of an hour does not hold what was exactly an hour ago

BUCKETS: Final = tuple(zip(CLIENT_BUCKETS, (1, 2, 4), strict=True))
"""The columns a visitor is counted by, and how many times the limit may be used in each.

Less than the flood limit gives, which must let every page of a whole company through: of all the people in a /48, few
want to be phoned by one site within the hour.
"""

ROOM: Final = 5
"""How many times, at least, the limits of a visitor's network may be used by those who solved a challenge.

A mobile carrier puts fifty honest people behind one IPv4 address; the challenge makes it dear to be fifty people alone.
It is no factor of BUCKETS: a /48, which anybody can rent, has as much room as one such address, not sixteen times that.
"""

_ALL: Final = 100
_WARN_AT: Final = (80, _ALL)


def _asked_by(name: str) -> CompoundSelect[datetime, str]:
    """Select when the bucket in a column asked within the window, and for what phones.

    Aliases count as the callbacks they look like.
    """
    of_callbacks, of_aliases = (
        select(table.c.created_at, callbacks.c.client_phone).where(
            table.c[name] == bindparam("bucket"),
            table.c.created_at.between(bindparam("since"), bindparam("until")),
        )
        for table in (callbacks, request_keys)
    )
    return union_all(of_callbacks, of_aliases.join(callbacks).where(request_keys.c.scope == ALIAS))


# Made once: to put a statement together takes several times as long as to execute it.
_ASKED_BY: Final = {name: _asked_by(name) for name, _ in BUCKETS}
_INSIDE = (
    select(callbacks.c.created_at)
    .where(
        callbacks.c.site == bindparam("site"), callbacks.c.created_at.between(bindparam("since"), bindparam("until"))
    )
    .order_by(callbacks.c.created_at.desc())
    .limit(bindparam("most", type_=Integer()))
    .subquery()
)
_OF_SITE: Final = select(func.count(), func.min(_INSIDE.c.created_at, type_=Instant()))
_RINGS_AT = func.coalesce(callbacks.c.planned_time, callbacks.c.created_at, type_=Instant())
_OF_PHONE: Final = select(callbacks.c.created_at, callbacks.c.planned_time, callbacks.c.status).where(
    callbacks.c.client_phone == bindparam("phone"),
    or_(callbacks.c.created_at > bindparam("asked_from"), bindparam("rings_from", type_=Instant()) < _RINGS_AT),
)

_COARSE: Final = timedelta(minutes=15)
_NO_RINGING: Final = (Status.CANCELLED, Status.FAILED)

Limits = tuple[RateLimitItem, ...]
Told = MutableMapping[tuple[str, str, int], datetime]
"""When the log was told that a site (first) has spent so many percent (last) of a limit."""


@dataclass(frozen=True, slots=True)
class Spent:
    """A site has spent so many ``percent`` of a ``limit``, with a callback that was asked for ``at`` this time."""

    site: str
    limit: RateLimitItem
    percent: int
    at: datetime


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


def check_quotas(
    connection: Connection, callback: Callback, quotas: Quotas, *, solved: bool = False, rings: bool = True
) -> tuple[Spent, ...]:
    """Raise TooManyRequestsError, with the quota and the wait, when the callback would be one too many. Writes nothing.

    ``solved``: did its visitor solve a challenge. ``rings``: False for one that another callback stands for, so that
    the limits of its phone are not asked. Returns what its site will have spent of its budget once it is written.
    """
    for name, weight in BUCKETS:
        if getattr(callback, name) is not None:
            _check_client(connection, callback, name, quotas, max(ROOM if solved else 1, weight))
    spent = tuple(spending for limit in quotas.per_site for spending in _spend(connection, callback, limit))
    # The phone comes last: whoever has used up his own quotas is told so, and learns nothing of anybody's number.
    if rings:
        _check_phone(connection, callback, quotas.per_phone)
    return spent


def tell_of_budget(spent: Iterable[Spent], told: Told) -> None:
    """Tell the log, once a callback is on disk, when its site has spent 80 or 100 % of what it may.

    Once in the limit's window: ``told`` keeps when, as the window moves on and a busy site is at its limit again with
    nearly every callback. Every process keeps its own.
    """
    for one in spent:
        this = (one.site, str(one.limit), one.percent)
        before = told.get(this)
        if before is None or not before <= one.at < before + timedelta(seconds=one.limit.get_expiry()):
            told[this] = one.at
            level = logging.ERROR if one.percent == _ALL else logging.WARNING
            event(log, "quota.site_budget", level, site=one.site, percent=one.percent, limit=str(one.limit))


def _check_client(connection: Connection, callback: Callback, name: str, quotas: Quotas, times: int) -> None:
    """Raise TooManyRequestsError when the bucket in a column used up one of a visitor's limits.

    What it asked for is read once for all of them: it is not much more than it may.
    """
    longest = max(quotas.per_client + quotas.per_client_phones, key=RateLimitItem.get_expiry)
    values = {"bucket": getattr(callback, name), **_within(callback, longest)}
    asked = connection.execute(_ASKED_BY[name], values).all()
    # Of several for one phone the last one counts.
    others = {phone: at for at, phone in sorted(asked) if phone != callback.client_phone}
    for code, limits, times_asked in (
        ("quota_client", quotas.per_client, [at for at, _ in asked]),
        ("quota_client_phones", quotas.per_client_phones, others.values()),
    ):
        newest = sorted(times_asked, reverse=True)
        for limit in limits:
            last = limit.amount * times - 1
            since = _within(callback, limit)["since"]
            if len(newest) > last and newest[last] >= since:
                raise _too_many(code, _left(callback, limit, newest[last]))


def _spend(connection: Connection, callback: Callback, limit: RateLimitItem) -> Iterator[Spent]:
    """Return the usage of a limit of a site after one more callback. Raises TooManyRequestsError beyond it.

    One walk through the window answers it all: a site has hundreds of callbacks in it, and accepts them one by one.
    """
    values = {"site": callback.site, **_within(callback, limit), "most": limit.amount}
    count, first = connection.execute(_OF_SITE, values).one()
    if count == limit.amount:
        raise _too_many("quota_site", _left(callback, limit, first))
    for percent in _WARN_AT:
        if count + 1 >= math.ceil(limit.amount * percent / 100):
            yield Spent(callback.site, limit, percent, callback.created_at)


def _within(callback: Callback, limit: RateLimitItem) -> dict[str, datetime]:
    window = timedelta(seconds=limit.get_expiry())
    # The clocks of replicas may differ by a little; what lies further ahead was redated before.
    return {"since": callback.created_at - window + _INSTANT, "until": callback.created_at + CLOCKS_DIFFER}


def _left(callback: Callback, limit: RateLimitItem, reached: datetime) -> timedelta:
    """Give how long one that was asked for at ``reached`` stays in the window."""
    window = timedelta(seconds=limit.get_expiry())
    return min(reached + window - callback.created_at, window)


def _too_many(code: str, wait: timedelta) -> TooManyRequestsError:
    return TooManyRequestsError(code, _DETAILS[code], retry_after=wait.total_seconds())


def _check_phone(connection: Connection, callback: Callback, limits: Limits) -> None:
    """Raise TooManyRequestsError when the phone was asked for too often, or would ring too often."""
    windows = [timedelta(seconds=limit.get_expiry()) for limit in limits]
    others = _others_of_phone(connection, callback, max(windows))
    asked = sorted((other.created_at for other in others), reverse=True)
    ringing = [other.planned_time or other.created_at for other in others if other.status not in _NO_RINGING]
    for limit, window in zip(limits, windows, strict=True):
        counted = [at for at in asked if callback.created_at - window < at <= callback.created_at + CLOCKS_DIFFER]
        wait = None
        if len(counted) >= limit.amount:
            wait = _left(callback, limit, counted[limit.amount - 1])
        elif _rings_too_often(ringing, _rings_at(callback), limit):
            wait = window  # when the time asked for gets free, if ever, is the business of those who planned it
        if wait is not None:
            # Coarse: the exact time would tell a stranger when somebody asked to be phoned.
            coarse = min(window, math.ceil(wait / _COARSE) * _COARSE)
            raise _too_many("quota_phone", coarse)


def _rings_at(callback: Callback) -> datetime:
    return callback.planned_time or callback.created_at


def _others_of_phone(connection: Connection, callback: Callback, window: timedelta) -> Sequence[Row[*tuple[Any, ...]]]:
    """Give what was asked for a callback's phone within the window, and what rings within it: few rows, read once."""
    parameters = {
        "phone": callback.client_phone,
        "asked_from": callback.created_at - window,
        "rings_from": _rings_at(callback) - window,
    }
    return connection.execute(_OF_PHONE, parameters).all()


def _rings_too_often(others: Sequence[datetime], this: datetime, limit: RateLimitItem) -> bool:
    """Tell whether one more at ``this`` time makes a window, wherever it begins, that holds more than the limit."""
    times = sorted((*others, this))
    window = timedelta(seconds=limit.get_expiry())
    spans = zip(times, times[limit.amount :], strict=False)  # from each one to the one that is one too many
    return any(first <= this <= last and last - first < window for first, last in spans)
