"""SQL of delivering: claim what is due, record what became of it, find what a dead process left behind.

A claim writes the attempt down before the first byte leaves. Whoever records must still hold the claim: the token of
the lease is compared, so a worker that overslept changes nothing. Each function may run again after a connection was
lost during its commit, when nobody knows whether it was executed: it then finds what it did the first time.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, insert, literal, or_, select, text, update

from app.outbox.callback import Status
from app.outbox.plans import are_few, unindexed
from app.outbox.schema import NOT_PLACED, attempts, blocklist, callbacks

# The parameters of Chaser's `call` under their names there; chaser_site_id goes as site_id.
_PARAMETERS = (
    "client_phone",
    "manager_phone",
    "planned_time",
    "active_page",
    "client_ip",
    "message_on_ring",
    "nwt_action",
    "call_stack_start_hour",
    "call_stack_interval",
    "referrer",
)

_UNKNOWN = "unknown"  # as an attempt's outcome

SiteKey = tuple[str, str]
"""An account's client_id and a site's name."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One callback in the hands of one worker. ``history``: the outcomes of earlier attempts, oldest first.

    ``available_at``: since when it could be sent, its acceptance or a person's release or retry of it.
    """

    callback_id: str
    site: str
    account: str
    token: str
    number: int
    history: tuple[str, ...]
    available_at: datetime
    give_up_at: datetime
    parameters: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """What is written down at the end of an attempt: the next state, and the attempt's own facts.

    ``reason`` and ``detail`` are stable codes, ``duration_ms`` is in milliseconds, ``answer`` at most 2 KiB.
    """

    status: Status
    due_at: datetime | None
    reason: str | None
    outcome: str
    http_status: int | None
    duration_ms: int | None
    detail: str | None
    answer: str | None = field(repr=False)


def claim_due(
    connection: Connection,
    now: datetime,
    *,
    max_delay: timedelta,
    lease: timedelta,
    token: str,
    limit: int,
    paused: Collection[str] = (),
    paused_sites: Collection[SiteKey] = (),
    only: SiteKey | None = None,
) -> list[Claim]:
    """Take up to ``limit`` due callbacks, oldest first, leaving out those of paused accounts and sites.

    ``only``: those of this site and no other. What is paused doesn't count then.
    ``token`` names the claims made by it. Until a claiming has come back the next one has the same token, and gives
    what that one may have taken, all of it: its commit may have been executed and only the answer lost.
    ``lease``: how long they are held. Nothing can
    be due further ahead than ``max_delay``: what seems to be was written before the clock was set back: it is due. What
    lies less far ahead is put right by clock_set_back.redate_waits.
    """
    mine = _leased(connection, callbacks.c.lease_token == token, None)
    if mine:
        return mine
    free = and_(
        _of(only) if only else _is_none_of(paused, paused_sites),
        callbacks.c.give_up_at > now,  # after a long stop this may come before expire does
        callbacks.c.client_phone.is_not(None),  # erased: there is nobody left to call
        ~exists().where(blocklist.c.entry == callbacks.c.client_phone),
    )
    due = select(callbacks).order_by(callbacks.c.due_at).with_for_update(skip_locked=True)
    # One after the other: for both at once SQLite would read and sort all that waits.
    rows: list[Row[Any]] = []
    for when in (callbacks.c.due_at <= now, callbacks.c.due_at > now + max_delay):
        if len(rows) < limit:
            rows += connection.execute(due.where(when, free).limit(limit - len(rows))).all()
    histories = _histories(connection, [row.id for row in rows])
    lease_until = _lease_clock(connection, now) + lease
    claims = []
    for row in rows:
        history = histories.get(row.id, ())
        claim = _claim(row, token, len(history) + 1, history)
        connection.execute(
            update(callbacks)
            .where(callbacks.c.id == row.id)
            .values(
                status=Status.SENDING,
                due_at=None,
                reason=None,
                lease_token=claim.token,
                lease_until=lease_until,
                updated_at=now,
            )
        )
        connection.execute(insert(attempts).values(callback_id=row.id, number=claim.number, started_at=now))
        claims.append(claim)
    return claims


def orphaned(connection: Connection, now: datetime | None, limit: int | None = None) -> list[Claim]:
    """Give claims whose worker is gone: the lease has run out by ``now``; None: all, no other process can be alive."""
    if now is None:
        return _leased(connection, callbacks.c.lease_until.is_not(None), limit)
    return _leased(connection, callbacks.c.lease_until < _lease_clock(connection, now), limit)


def finish_attempt(connection: Connection, claim: Claim, result: AttemptOutcome, now: datetime) -> bool | datetime:
    """Write down what became of a claim. False, and nothing changed, when the claim is no longer held.

    A time, and nothing changed either, when somebody asked again since it was claimed, and so it is given up only
    then: what becomes of it is to be decided by that.
    """
    held = (callbacks.c.id == claim.callback_id) & (callbacks.c.lease_token == claim.token)
    changed = connection.execute(
        update(callbacks)
        .where(held, callbacks.c.give_up_at <= claim.give_up_at)
        .values(
            status=result.status,
            due_at=result.due_at,
            reason=result.reason,
            lease_token=None,
            lease_until=None,
            updated_at=now,
        )
    )
    if changed.rowcount != 1:
        later: datetime | None = connection.scalar(select(callbacks.c.give_up_at).where(held))
        return later or _is_recorded(connection, claim, result)
    connection.execute(
        update(attempts)
        .where(attempts.c.callback_id == claim.callback_id, attempts.c.number == claim.number)
        .values(
            outcome=result.outcome,
            http_status=result.http_status,
            duration_ms=result.duration_ms,
            detail=result.detail,
            answer=result.answer,
        )
    )
    return True


def expire(connection: Connection, now: datetime) -> list[str]:
    """Give up what has waited too long: it is failed, but stays or becomes unknown when it may have rung before.

    Returns the ids of what failed.
    """
    old = (callbacks.c.due_at <= now) & (callbacks.c.give_up_at <= now)
    if connection.scalar(select(literal(1)).select_from(callbacks).where(old).limit(1)) is None:
        return []  # as it is nearly always, and to learn it costs one way along all that is due
    may_have_rung = exists().where(attempts.c.callback_id == callbacks.c.id, attempts.c.outcome == _UNKNOWN)
    connection.execute(
        update(callbacks)
        .where(old, or_(callbacks.c.status == Status.UNKNOWN, (callbacks.c.status == Status.QUEUED) & may_have_rung))
        .values(status=Status.UNKNOWN, due_at=None, reason="expired_unknown", updated_at=now)
    )
    failed = connection.execute(
        update(callbacks)
        .where(old, callbacks.c.status == Status.QUEUED, ~may_have_rung)
        .values(status=Status.FAILED, due_at=None, reason="expired", updated_at=now)
        .returning(callbacks.c.id)
    )
    return [row.id for row in failed]


def hold_unknown(connection: Connection, now: datetime, holds: Callable[[str], bool]) -> list[str]:
    """Let unknown callbacks wait for a person at sites that ``holds`` names: the setting may be newer than they are.

    Returns their ids.
    """
    to_resend = _to_resend(connection)
    site = unindexed(callbacks.c.site)  # SQLite would go along all callbacks, to meet each site but once
    sites = connection.scalars(select(site).where(to_resend).distinct()).all()
    held = [name for name in sites if holds(name)]
    if not held:
        return []
    changed = connection.execute(
        update(callbacks)
        .where(to_resend, site.in_(held))
        .values(due_at=None, reason="awaiting_operator", updated_at=now)
        .returning(callbacks.c.id)
    )
    return [row.id for row in changed]


def _to_resend(connection: Connection) -> ColumnElement[bool]:
    """Say which are unknown and wait: by the index of statuses, or by that of what waits when many are unknown."""
    listed = (callbacks.c.status == Status.UNKNOWN) & text(NOT_PLACED)
    unknown = listed if are_few(connection, listed) else unindexed(callbacks.c.status) == Status.UNKNOWN
    return unknown & callbacks.c.due_at.is_not(None)


def _of(site: SiteKey) -> ColumnElement[bool]:
    # By what waits: a site may have had any number of callbacks.
    return (callbacks.c.account == site[0]) & (unindexed(callbacks.c.site) == site[1])


def _is_none_of(accounts: Collection[str], sites: Collection[SiteKey]) -> ColumnElement[bool]:
    # The sites in one list for each account: a list is looked up, however long, where pairs are compared one by one.
    names: dict[str, list[str]] = {}
    for account, site in sites:
        names.setdefault(account, []).append(site)
    of_sites = ((callbacks.c.account == account) & callbacks.c.site.in_(some) for account, some in names.items())
    return ~or_(callbacks.c.account.in_(accounts), *of_sites)


def _leased(connection: Connection, which: ColumnElement[bool], limit: int | None) -> list[Claim]:
    leased = select(callbacks).where(callbacks.c.lease_until.is_not(None), which)
    rows = connection.execute(leased.order_by(callbacks.c.lease_until).limit(limit)).all()
    histories = _histories(connection, [row.id for row in rows])
    # The last attempt has no outcome yet: it is the one under way, not history.
    return [_claim(row, row.lease_token, len(histories[row.id]), histories[row.id][:-1]) for row in rows]


def _is_recorded(connection: Connection, claim: Claim, result: AttemptOutcome) -> bool:
    """Tell whether this very result is what stands there."""
    attempt = (attempts.c.callback_id == claim.callback_id) & (attempts.c.number == claim.number)
    columns = (attempts.c.outcome, attempts.c.http_status, attempts.c.duration_ms, attempts.c.detail)
    row = connection.execute(select(*columns).where(attempt)).one_or_none()
    return row is not None and row == (result.outcome, result.http_status, result.duration_ms, result.detail)


def _lease_clock(connection: Connection, now: datetime) -> datetime:
    """Give the time that leases go by: on PostgreSQL the server's, since the clocks of replicas differ."""
    if connection.dialect.name != "postgresql":
        return now
    return connection.execute(select(func.clock_timestamp())).scalar_one()  # type: ignore[no-any-return]


def _histories(connection: Connection, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    rows = connection.execute(
        select(attempts.c.callback_id, attempts.c.outcome)
        .where(attempts.c.callback_id.in_(ids))
        .order_by(attempts.c.callback_id, attempts.c.number)
    )
    found: dict[str, tuple[str, ...]] = {}
    for callback_id, outcome in rows:
        found[callback_id] = (*found.get(callback_id, ()), outcome)
    return found


def _claim(row: Row[Any], token: str, number: int, history: tuple[str, ...]) -> Claim:
    values = row._mapping  # the public name of it, in SQLAlchemy's words
    return Claim(
        callback_id=row.id,
        site=row.site,
        account=row.account,
        token=token,
        number=number,
        history=history,
        available_at=row.available_at or row.created_at,
        give_up_at=row.give_up_at,
        parameters={"site_id": row.chaser_site_id} | {name: values[name] for name in _PARAMETERS},
    )
