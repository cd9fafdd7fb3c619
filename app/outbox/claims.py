"""SQL of delivery: claim due callbacks, finish attempts, find claims that a dead process left behind.

A claim inserts the attempt before the first byte leaves. Finishing compares the token of the lease, so a worker whose
lease has expired changes nothing.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, insert, literal, or_, select, update

from app.outbox.blocklist_store import cancel_waiting
from app.outbox.callback import Status
from app.outbox.phone_callbacks import PhoneCap
from app.outbox.phone_room import within_cap
from app.outbox.retention import delete_used_challenges
from app.outbox.schema import TO_RESEND, attempts, blocklist, callbacks, no_index
from app.outbox.transitions import finish_sending, start_sending, transition

# Parameters of Chaser's `call` by their names there; `chaser_site_id` is sent as `site_id`.
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

_UNKNOWN = "unknown"  # the outcome of an attempt
MAX_EXPIRED = 1000  # rows of one transaction: a large backlog must not hold up the writer; expire runs every second

SiteKey = tuple[str, str]
"""An account's client_id and a site's name."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One callback claimed by one worker. `history`: the outcomes of earlier attempts, oldest first.

    `available_at`: since when it could be sent: its acceptance, or its last release or retry.
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
    """The result of an attempt as it is stored: the next status of the callback, and the facts of the attempt.

    `reason` and `detail` are stable codes, `duration_ms` is in milliseconds, `answer` is at most 2 KiB.
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
    cap: PhoneCap,
    paused: Collection[str] = (),
    paused_sites: Collection[SiteKey] = (),
    only: SiteKey | None = None,
) -> list[Claim]:
    """Claim up to `limit` due callbacks, oldest first, except those of paused accounts and sites.

    `only`: claim callbacks of this site alone; `paused` and `paused_sites` don't count then.
    `token`: a new one for each call. It names the claims before they are returned.
    `lease`: how long a claim lasts. `cap`: how often a phone may ring: see `phone_room.within_cap`.
    `max_delay`: the longest wait for a next attempt. A time further ahead was written before the clock was set back, so
    the callback is due.
    """
    free = and_(
        _for_site(only) if only else _not_paused(paused, paused_sites),
        callbacks.c.give_up_at > now,  # after a long stop a claim may come before `expire`
        callbacks.c.client_phone.is_not(None),  # an erased number can't be called
        ~exists().where(blocklist.c.entry == callbacks.c.client_phone),
    )
    due = select(callbacks).order_by(callbacks.c.due_at).with_for_update(skip_locked=True)
    # Two statements: for both conditions at once SQLite would read and sort the whole queue.
    rows: list[Row[Any]] = []
    for when in (callbacks.c.due_at <= now, callbacks.c.due_at > now + max_delay):
        if len(rows) < limit:
            rows += connection.execute(due.where(when, free).limit(limit - len(rows))).all()
    rows, rings = within_cap(connection, rows, now, cap)
    histories = _histories(connection, [row.id for row in rows])
    lease_until = _lease_clock(connection, now) + lease
    claims = [_claim(row, token, histories.get(row.id, ())) for row in rows]
    start_sending(connection, rows, rings, token, lease_until, now)
    if claims:
        started = [
            {
                "callback_id": claim.callback_id,
                "number": claim.number,
                "started_at": now,
                "rings_at": ring.at,
                "rings_until": ring.until,
            }
            for claim, ring in zip(claims, rings, strict=True)
        ]
        connection.execute(insert(attempts), started)
    return claims


def orphaned(connection: Connection, now: datetime | None) -> list[Claim]:
    """Return claims whose lease expired before `now`; with None all claims, as no other process can be alive."""
    leased = select(callbacks).where(callbacks.c.lease_until.is_not(None)).order_by(callbacks.c.lease_until)
    if now is not None:
        leased = leased.where(callbacks.c.lease_until < _lease_clock(connection, now))
    rows = connection.execute(leased).all()
    histories = _histories(connection, [row.id for row in rows])
    # The last attempt is still in flight and has no outcome: it is not history.
    return [_claim(row, row.lease_token, histories[row.id][:-1]) for row in rows]


def finish_attempt(connection: Connection, claim: Claim, result: AttemptOutcome, now: datetime) -> bool | datetime:
    """Store the result of a claim's attempt. Return False, and change nothing, if the lease was lost.

    Return the new `give_up_at`, and change nothing, if a duplicate request extended it since the claim: the caller
    decides again with that time.
    """
    held = (callbacks.c.id == claim.callback_id) & (callbacks.c.lease_token == claim.token)
    unextended = held & (callbacks.c.give_up_at <= claim.give_up_at)
    if not finish_sending(connection, unextended, result.status, result.reason, result.due_at, now):
        extended: datetime | None = connection.scalar(select(callbacks.c.give_up_at).where(held))
        return extended or False
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
    """Fail due callbacks past their `give_up_at`; those that may have rung become or stay unknown. At most 1,000 each.

    Also delete old challenges, and cancel callbacks that wait for a blocked phone. Return the ids of the failed ones.
    """
    delete_used_challenges(connection, now)
    cancel_waiting(connection, now)
    old = (callbacks.c.due_at <= now) & (callbacks.c.give_up_at <= now)
    if connection.scalar(select(literal(1)).select_from(callbacks).where(old).limit(1)) is None:
        return []
    may_have_rung = exists().where(attempts.c.callback_id == callbacks.c.id, attempts.c.outcome == _UNKNOWN)
    status = callbacks.c.status
    rang = old & or_(status == Status.UNKNOWN, (status == Status.QUEUED) & may_have_rung)
    transition(connection, rang, Status.UNKNOWN, reason="expired_unknown", now=now, limit=MAX_EXPIRED)
    never_rang = old & (status == Status.QUEUED) & ~may_have_rung
    return transition(connection, never_rang, Status.FAILED, reason="expired", now=now, limit=MAX_EXPIRED)


def hold_unknown(connection: Connection, now: datetime, holds: Callable[[str], bool]) -> list[str]:
    """Cancel the resend of unknown callbacks at sites for which `holds` is true; return their ids.

    The setting `ON_UNKNOWN=hold` may be newer than their attempt.
    """
    sites = connection.scalars(select(callbacks.c.site).where(TO_RESEND).distinct()).all()
    held = [name for name in sites if holds(name)]
    if not held:
        return []
    condition = and_(TO_RESEND, callbacks.c.site.in_(held))
    # All of them: those left out would be resent.
    return transition(connection, condition, Status.UNKNOWN, reason="awaiting_operator", now=now)


def _for_site(site: SiteKey) -> ColumnElement[bool]:
    # Not by the index of sites: it holds every callback of the site, the index of due times only the queue.
    return (callbacks.c.account == site[0]) & (no_index(callbacks.c.site) == site[1])


def _not_paused(accounts: Collection[str], sites: Collection[SiteKey]) -> ColumnElement[bool]:
    # One IN list of sites for each account: databases look up a list, but compare pairs one by one.
    names: dict[str, list[str]] = {}
    for account, site in sites:
        names.setdefault(account, []).append(site)
    of_sites = ((callbacks.c.account == account) & callbacks.c.site.in_(some) for account, some in names.items())
    return ~or_(callbacks.c.account.in_(accounts), *of_sites)


def _lease_clock(connection: Connection, now: datetime) -> datetime:
    """Return the clock of leases: on PostgreSQL the server's, since the clocks of replicas differ."""
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


def _claim(row: Row[Any], token: str, history: tuple[str, ...]) -> Claim:
    values = row._mapping  # public in SQLAlchemy despite its underscore
    return Claim(
        callback_id=row.id,
        site=row.site,
        account=row.account,
        token=token,
        number=len(history) + 1,
        history=history,
        available_at=row.available_at or row.created_at,
        give_up_at=row.give_up_at,
        parameters={"site_id": row.chaser_site_id} | {name: values[name] for name in _PARAMETERS},
    )
