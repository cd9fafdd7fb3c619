"""SQL of accepting, in one transaction: replay, duplicates, quotas, and the insert.

All of it may run again after a connection was lost during its commit: it then finds its own earlier writes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, bindparam, or_, select, update

from app.errors import ForbiddenError, TooManyRequestsError
from app.outbox import blocklist_store
from app.outbox.callback import (
    ACTIVE_STATUSES,
    IDENTITY_FIELDS,
    AcceptResult,
    Callback,
    RequestKey,
    Status,
    public_status,
)
from app.outbox.query_hints import status_literal
from app.outbox.quotas import Quotas, Spent, Told, check_quotas
from app.outbox.repeats import KNOWN_AS, LATELY_KNOWN, alias_of, answered, check_room, remember, remember_alias
from app.outbox.schema import callbacks
from app.outbox.transitions import insert_callback
from app.outbox.used_challenges import Challenge, check_unused, consume

_SENT_BY: Final = ("account", "chaser_site_id")
"""The account and site of the call. A callback queued under former settings may never be sent, so it absorbs none."""

_TO_BE_SENT: Final = or_(callbacks.c.due_at.is_not(None), callbacks.c.lease_until.is_not(None))

_NOT_STORED: Final = ("hold", "rings_at", "rings_until")
_COLUMNS = tuple(column.name for column in fields(Callback) if column.name not in _NOT_STORED)


def _stands(*states: Status) -> Select[*tuple[Any, ...]]:
    """Select the candidates for a duplicate: in these statuses within the window, or still to ring."""
    table = callbacks.c
    mine = table.id == bindparam("this")
    in_one = or_(*map(status_literal, states))  # an expanding IN would be compiled at each execution
    sent_so = and_(*(table[name] == bindparam(name) for name in _SENT_BY))
    # Or its visitor got its alias within the window: they have asked for this already.
    lately = or_(table.created_at > bindparam("since"), table.id.in_(LATELY_KNOWN))
    recent = lately & in_one & or_(~_TO_BE_SENT, sent_so)
    # However old: a repeated request for a call still to come asks for one call. It is queued, in flight, or Chaser
    # has it for a later time, planned or in its after-hours queue.
    for_later = or_(table.planned_time > bindparam("now"), table.call_expected_at > bindparam("now"))
    to_come = or_(_TO_BE_SENT, status_literal(Status.PLACED) & for_later)
    same_wish = and_(to_come, sent_so, *(table[name].is_not_distinct_from(bindparam(name)) for name in IDENTITY_FIELDS))
    return (
        # Joined with the alias: a further statement would reveal by its time that there is a callback.
        select(callbacks, *KNOWN_AS)
        .where(or_(mine, (table.client_phone == bindparam("phone")) & or_(recent, same_wish)))
        .order_by(mine.desc(), table.created_at.desc())
        # Locked: another replica may be failing it at this moment.
        .with_for_update(key_share=True)
    )


# A held callback may never be sent, so it covers only requests that would be held as well.
_STANDING: Final = {False: _stands(*ACTIVE_STATUSES), True: _stands(*ACTIVE_STATUSES, Status.HELD)}


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """The settings that accepting depends on: the duplicate window and the quotas.

    `told` remembers which warnings about the budget were logged: see quotas.tell_of_budget.
    `blocked`: the phone or the address is blocked; the request is refused once its challenge is consumed.
    """

    duplicate_window: timedelta
    quotas: Quotas
    told: Told = field(default_factory=dict, compare=False, repr=False)
    blocked: bool = False


def accept(
    connection: Connection,
    callback: Callback,
    request_key: RequestKey | None,
    rules: AdmissionConfig,
    challenge: Challenge | None = None,
) -> tuple[AcceptResult, Sequence[Spent]]:
    """Insert the callback, or find the one that covers it.

    Return the response, and the usage of the site's budget to log after the commit. Raises UnprocessableContentError
    if the request key was used for another request, ConflictError if the challenge was used, TooManyRequestsError at a
    quota, ForbiddenError if the request is blocked.
    """
    if request_key is not None and (kept := answered(connection, request_key)) is not None:
        # The same id: this work runs again after its commit.
        return (replace(kept, replayed=False) if kept.id == callback.id else kept), ()
    user = _challenge_user(callback, request_key)
    if challenge is not None:
        # First: a used challenge must not buy an answer about any number.
        check_unused(connection, challenge, user)
    standing = _standing(connection, callback, rules.duplicate_window)
    repeated = _repeated(callback, standing)
    # A callback or alias with this very id: this work runs again after its commit.
    is_ours = any(found is not None and found.id == callback.id for found in (standing, repeated))
    answer = repeated or AcceptResult(callback.id, Status.QUEUED, callback.created_at, callback.call_expected_at)
    spent: Sequence[Spent] = ()
    try:
        if rules.blocked:
            raise blocklist_store.refusal()
        if standing is None:
            spent = check_quotas(connection, callback, rules.quotas, solved=challenge is not None)
        elif not is_ours and callback.client_bucket is not None:
            if repeated is None:
                # It rings nobody, but a visitor without quota left must not see which numbers still pass.
                check_quotas(connection, callback, rules.quotas, solved=challenge is not None, rings=False)
            else:
                check_room(connection, callback, standing.id)
    except (ForbiddenError, TooManyRequestsError):
        # Consumes the challenge too: otherwise one solution would do for questions about many phones. An error doesn't
        # roll back the batch, so this write stays.
        if challenge is not None:
            consume(connection, challenge, user)
        raise
    # Writes begin here. An error from now on would not undo them: many requests share the transaction.
    if challenge is not None:
        consume(connection, challenge, user)
    if standing is None:
        _insert(connection, callback)
    elif not is_ours:
        if repeated is None:
            remember_alias(connection, callback, standing.id, answer)
        if standing.planned_time == callback.planned_time:
            _renew(connection, standing.id, callback.give_up_at)
    if request_key is not None:
        # Also for a duplicate: its response may get lost, and its retry may come after the window.
        callback_id = callback.id if standing is None else standing.id
        remember(connection, request_key, callback_id, answer, callback, repeats=repeated is not None)
    return answer, spent


def _challenge_user(callback: Callback, request_key: RequestKey | None) -> str:
    """Return the name under which a request consumes its challenge, the same for a retry with the same key.

    Without an idempotency key, only a re-run of the same work counts as the same owner. The fingerprint is part of the
    name, so one key cannot cover several phones.
    """
    if request_key is None:
        return callback.id
    named = "\0".join((request_key.scope, request_key.key, request_key.fingerprint))
    return hashlib.sha256(named.encode()).hexdigest()[: len(callback.id)]


def _is_stranger(callback: Callback, standing: Row[*tuple[Any, ...]]) -> bool:
    return callback.client_bucket not in (None, standing.client_bucket)


def _repeated(callback: Callback, standing: Row[*tuple[Any, ...]] | None) -> AcceptResult | None:
    """Return the earlier answer to this visitor if another callback covers the request; None if there is none."""
    if standing is None or standing.id == callback.id:
        return None
    if _is_stranger(callback, standing):
        return alias_of(callback, standing)
    # The owner's services may see that it is held.
    status = standing.status if callback.api_key else public_status(standing.status)
    return AcceptResult(standing.id, status, standing.created_at, standing.call_expected_at, duplicate=True)


def _insert(connection: Connection, callback: Callback) -> None:
    values = {name: getattr(callback, name) for name in _COLUMNS}  # asdict() would copy what is in them
    insert_callback(connection, values, callback.hold)


def _standing(connection: Connection, callback: Callback, window: timedelta) -> Row[*tuple[Any, ...]] | None:
    """Find the callback that covers this one: same phone and site, within the window or still to ring.

    Or this very one, inserted before.
    """
    values = {
        "this": callback.id,
        "phone": callback.client_phone,
        "now": callback.created_at,
        "since": callback.created_at - window,
        "bucket": callback.client_bucket,
        **{name: getattr(callback, name) for name in (*IDENTITY_FIELDS, *_SENT_BY)},
    }
    found = connection.execute(_STANDING[callback.hold is not None], values)
    # The site is compared here, so that no planner picks the index of a busy site.
    may = [
        row
        for row in found.all()
        if row.site == callback.site and (_is_known(callback, row) or _may_stand(callback, row))
    ]
    return next((row for row in may if _is_known(callback, row)), may[0] if may else None)


def _is_known(callback: Callback, standing: Row[*tuple[Any, ...]]) -> bool:
    """Return whether the visitor knows of a callback: it is their own, or they were answered with its alias."""
    return not _is_stranger(callback, standing) or standing.alias_answer is not None


def _may_stand(callback: Callback, standing: Row[*tuple[Any, ...]]) -> bool:
    """Return whether another visitor's callback can absorb this one.

    Never if it is planned for later: the call would come too late. Never for a held (honeypot) request, whose sender
    would otherwise see `placed`.
    """
    wanted = callback.planned_time or callback.created_at
    return callback.hold is None and (standing.planned_time is None or standing.planned_time <= wanted)


def _renew(connection: Connection, callback_id: str, give_up_at: datetime) -> None:
    """Extend the deadline of a callback still to be sent to that of the duplicate it covers."""
    sooner = (callbacks.c.id == callback_id) & (callbacks.c.give_up_at < give_up_at)
    connection.execute(update(callbacks).where(sooner, _TO_BE_SENT).values(give_up_at=give_up_at))
