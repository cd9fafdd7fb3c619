"""Quotas: how often one phone, one visitor and one site may request a callback. Counted exactly, in the database.

A limit of n in a window is reached while the n-th newest callback is inside the window. Its time decides both whether
to refuse and for how long.

An IPv6 visitor is counted by their /64, and with higher limits by the /56 and the /48 around it. Otherwise the owner of
a wide network would have a fresh quota for each /64 in it.

A phone's limits apply to the times of its requests and to the times when it rings. Calls can be planned days ahead, so
requests that meet all limits could otherwise ring within one hour.
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
from app.outbox.clock_skew import MAX_CLOCK_SKEW
from app.outbox.repeats import ALIAS
from app.outbox.schema import Instant, callbacks, request_keys

log = logging.getLogger(__name__)

_INSTANT = timedelta(microseconds=1)  # a window of one hour excludes requests exactly one hour old

BUCKETS: Final = tuple(zip(CLIENT_BUCKETS, (1, 2, 4), strict=True))
"""The columns that count a visitor, and the multiple of the limit that applies to each.

The flood limit has higher multiples, as it must let through every page view of a whole company. Of all people in a /48
few want a call from one site within the hour.
"""

ROOM: Final = 5
"""The least multiple of a network's limits that applies to requests with a solved challenge.

A mobile carrier puts fifty honest visitors behind one IPv4 address, and the challenge makes it costly to imitate fifty.
It doesn't multiply `BUCKETS`: a /48, which anybody can rent, gets as much as one such address, not sixteen times that.
"""

_ALL: Final = 100
_WARN_AT: Final = (80, _ALL)


def _asked_by(name: str) -> CompoundSelect[datetime, str]:
    """Select the time and the phone of each request within the window, by one of the columns of `BUCKETS`.

    Aliases count like the callbacks they appear to be.
    """
    of_callbacks, of_aliases = (
        select(table.c.created_at, callbacks.c.client_phone).where(
            table.c[name] == bindparam("bucket"),
            table.c.created_at.between(bindparam("since"), bindparam("until")),
        )
        for table in (callbacks, request_keys)
    )
    return union_all(of_callbacks, of_aliases.join(callbacks).where(request_keys.c.scope == ALIAS))


# Built once: building a statement takes several times as long as executing it.
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
"""When the log was last warned, by site, limit and percentage."""


@dataclass(frozen=True, slots=True)
class Spent:
    """A site has used `percent` of a `limit`, counting a callback requested at the time `at`."""

    site: str
    limit: RateLimitItem
    percent: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits in force for one site. `per_phone` counts over all sites."""

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
    """Raise `TooManyRequestsError`, with the quota's code and the wait, if the callback would exceed a quota.

    Writes nothing. `solved` is whether its visitor solved a challenge. `rings` is False for a request merged into
    another callback: the limits of its phone are not checked. Returns the site's usage of its limits, counting this
    callback.
    """
    for name, weight in BUCKETS:
        if getattr(callback, name) is not None:
            _check_client(connection, callback, name, quotas, max(ROOM if solved else 1, weight))
    spent = tuple(spending for limit in quotas.per_site for spending in _spend(connection, callback, limit))
    # The phone is checked last: a visitor beyond their own quotas must learn nothing about any number.
    if rings:
        _check_phone(connection, callback, quotas.per_phone)
    return spent


def tell_of_budget(spent: Iterable[Spent], told: Told) -> None:
    """Log a warning, once a callback is committed, that its site has used 80 or 100 % of a limit.

    Each percentage is logged once in the limit's window. `told` keeps the times: otherwise a busy site at its limit
    would cause a warning with nearly every callback. Every process keeps its own.
    """
    for one in spent:
        this = (one.site, str(one.limit), one.percent)
        before = told.get(this)
        if before is None or not before <= one.at < before + timedelta(seconds=one.limit.get_expiry()):
            told[this] = one.at
            level = logging.ERROR if one.percent == _ALL else logging.WARNING
            event(log, "quota.site_budget", level, site=one.site, percent=one.percent, limit=str(one.limit))


def _check_client(connection: Connection, callback: Callback, name: str, quotas: Quotas, times: int) -> None:
    """Raise `TooManyRequestsError` if the network in a column has used up one of a visitor's limits.

    Its requests are read once for all limits: the limits keep their number small.
    """
    longest = max(quotas.per_client + quotas.per_client_phones, key=RateLimitItem.get_expiry)
    values = {"bucket": getattr(callback, name), **_within(callback, longest)}
    asked = connection.execute(_ASKED_BY[name], values).all()
    # Of several requests for one phone the newest counts.
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
    """Yield the usage of a site's limit with one more callback. Raises `TooManyRequestsError` beyond the limit.

    One index scan yields it all: a site may have hundreds of callbacks in the window.
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
    # The clocks of replicas may differ slightly. Times further ahead have been shifted before.
    return {"since": callback.created_at - window + _INSTANT, "until": callback.created_at + MAX_CLOCK_SKEW}


def _left(callback: Callback, limit: RateLimitItem, reached: datetime) -> timedelta:
    """Return how long a callback requested at `reached` stays in the window."""
    window = timedelta(seconds=limit.get_expiry())
    return min(reached + window - callback.created_at, window)


def _too_many(code: str, wait: timedelta) -> TooManyRequestsError:
    return TooManyRequestsError(code, _DETAILS[code], retry_after=wait.total_seconds())


def _check_phone(connection: Connection, callback: Callback, limits: Limits) -> None:
    """Raise `TooManyRequestsError` if the phone was requested too often, or would ring too often."""
    windows = [timedelta(seconds=limit.get_expiry()) for limit in limits]
    others = _others_of_phone(connection, callback, max(windows))
    asked = sorted((other.created_at for other in others), reverse=True)
    ringing = [other.planned_time or other.created_at for other in others if other.status not in _NO_RINGING]
    for limit, window in zip(limits, windows, strict=True):
        counted = [at for at in asked if callback.created_at - window < at <= callback.created_at + MAX_CLOCK_SKEW]
        wait = None
        if len(counted) >= limit.amount:
            wait = _left(callback, limit, counted[limit.amount - 1])
        elif _rings_too_often(ringing, _rings_at(callback), limit):
            wait = window  # an exact wait would reveal when other visitors' calls are planned
        if wait is not None:
            # Rounded up: the exact time would reveal to another visitor when the phone was requested.
            coarse = min(window, math.ceil(wait / _COARSE) * _COARSE)
            raise _too_many("quota_phone", coarse)


def _rings_at(callback: Callback) -> datetime:
    return callback.planned_time or callback.created_at


def _others_of_phone(connection: Connection, callback: Callback, window: timedelta) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return a phone's callbacks that were requested within the window or ring within it: few rows, read once."""
    parameters = {
        "phone": callback.client_phone,
        "asked_from": callback.created_at - window,
        "rings_from": _rings_at(callback) - window,
    }
    return connection.execute(_OF_PHONE, parameters).all()


def _rings_too_often(others: Sequence[datetime], this: datetime, limit: RateLimitItem) -> bool:
    """Return whether a ring at the time `this` would exceed the limit in any window that contains it."""
    times = sorted((*others, this))
    window = timedelta(seconds=limit.get_expiry())
    spans = zip(times, times[limit.amount :], strict=False)  # each ring, and the later one that exceeds the limit
    return any(first <= this <= last and last - first < window for first, last in spans)
