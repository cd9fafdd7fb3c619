"""SQL of accepting: the same request again, the same phone again, the quotas, and the insert; one transaction.

Everything here may run again after a connection was lost during its commit, when nobody knows whether it was executed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, bindparam, insert, or_, select, update

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
from app.outbox.night_queue import in_line
from app.outbox.plans import has_status
from app.outbox.quotas import Quotas, Spent, Told, check_quotas
from app.outbox.repeats import KNOWN_AS, LATELY_KNOWN, alias_of, answered, check_room, remember, remember_alias
from app.outbox.schema import callbacks
from app.outbox.used_challenges import Challenge, check_unused, use

_SENT_BY: Final = ("account", "chaser_site_id")
"""By what Chaser is asked. What still waits for another account or site than the settings name may wait in vain."""

_TO_BE_SENT: Final = or_(callbacks.c.due_at.is_not(None), callbacks.c.lease_until.is_not(None))

_COLUMNS = tuple(column.name for column in fields(Callback) if column.name != "hold")

# Statements are made once: to put one together takes several times as long as to execute it.
_INSERT: Final = insert(callbacks)


def _stands(*states: Status) -> Select[*tuple[Any, ...]]:
    """Select what may stand for a callback: what is in these states within the window, or still to come."""
    table = callbacks.c
    mine = table.id == bindparam("this")
    in_one = or_(*map(has_status, states))  # IN would be spelt out anew at each execution
    sent_so = and_(*(table[name] == bindparam(name) for name in _SENT_BY))
    # Or its visitor was answered with it within the window: he too has asked for this already.
    lately = or_(table.created_at > bindparam("since"), table.id.in_(LATELY_KNOWN))
    recent = lately & in_one & or_(~_TO_BE_SENT, sent_so)
    # However long ago: whoever asks again for what hasn't happened yet wants it once. It waits for Chaser, is on its
    # way there this moment, or Chaser has it for a time to come, as a planned one or in its queue of the night.
    for_later = or_(table.planned_time > bindparam("now"), table.call_expected_at > bindparam("now"))
    to_come = or_(_TO_BE_SENT, has_status(Status.PLACED) & for_later)
    same_wish = and_(to_come, sent_so, *(table[name].is_not_distinct_from(bindparam(name)) for name in IDENTITY_FIELDS))
    return (
        # With the alias, as one statement more would tell whoever measures that there is something to look up.
        select(callbacks, *KNOWN_AS)
        .where(or_(mine, (table.client_phone == bindparam("phone")) & or_(recent, same_wish)))
        .order_by(mine.desc(), table.created_at.desc())
        # As it is once other replicas are done with it: one of them may be giving it up.
        .with_for_update(key_share=True)
    )


# What is held may never be sent: it stands only for what would be held as well.
_STANDING: Final = {False: _stands(*ACTIVE_STATUSES), True: _stands(*ACTIVE_STATUSES, Status.HELD)}


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """What accepting depends on: how long a second request for the same phone counts as the first, and the quotas.

    ``told`` keeps what the log was told of the budget: see quotas.tell_of_budget.
    ``blocked``: the phone or the visitor is; it is refused when its challenge is used up.
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
    """Write the callback down, or find the one that stands for it already.

    Returns what its caller is told, and what the log is to be told of the site's budget when it is committed.
    Raises UnprocessableContentError when the request key was used for another request, ConflictError when the
    challenge was, TooManyRequestsError when a
    quota is reached, ForbiddenError when the rules say that it is blocked.
    """
    if request_key is not None and (kept := answered(connection, request_key)) is not None:
        # The id is ours when this work runs again.
        return (replace(kept, replayed=False) if kept.id == callback.id else kept), ()
    user = _challenge_user(callback, request_key)
    if challenge is not None:
        # Before all else: with a challenge that was used, nobody gets to ask about any number.
        check_unused(connection, challenge, user)
    standing = _standing(connection, callback, rules.duplicate_window)
    repeated = _repeated(callback, standing)
    # This work runs again when the callback, or an alias, has this very id.
    is_ours = any(found is not None and found.id == callback.id for found in (standing, repeated))
    if standing is not None and standing.id == callback.id:
        callback = replace(callback, call_expected_at=standing.call_expected_at)
    elif repeated is None:
        callback = in_line(connection, callback)
    answer = repeated or AcceptResult(callback.id, Status.QUEUED, callback.created_at, callback.call_expected_at)
    spent: Sequence[Spent] = ()
    try:
        if rules.blocked:
            raise blocklist_store.refusal()
        if standing is None:
            spent = check_quotas(connection, callback, rules.quotas, solved=challenge is not None)
        elif not is_ours and callback.client_bucket is not None:
            if repeated is None:
                # It rings nobody, but a stranger who has used up his quotas must not see which numbers still pass.
                check_quotas(connection, callback, rules.quotas, solved=challenge is not None, rings=False)
            else:
                check_room(connection, callback, standing.id)
    except (ForbiddenError, TooManyRequestsError):
        # Its challenge is used up too, or one solution would do to ask about any number of phones. That stands though
        # the request is refused, and although a refusal takes back nothing: it is the whole of what is to be written.
        if challenge is not None:
            use(connection, challenge, user)
        raise
    # From here on it is written: a refusal takes back nothing, for many requests share one transaction.
    if challenge is not None:
        use(connection, challenge, user)
    if standing is None:
        _insert(connection, callback)
    elif not is_ours:
        if repeated is None:
            remember_alias(connection, callback, standing.id, answer)
        if standing.planned_time == callback.planned_time:
            _renew(connection, standing.id, callback.give_up_at)
    if request_key is not None:
        # Also for a duplicate: its answer may get lost, and its repetition may come after the window.
        callback_id = callback.id if standing is None else standing.id
        remember(connection, request_key, callback_id, answer, callback, repeats=repeated is not None)
    return answer, spent


def _challenge_user(callback: Callback, request_key: RequestKey | None) -> str:
    """Give the name under which a request uses its challenge, the same when it comes again with its key.

    Without a key only work that runs again is the same. The fingerprint is in it: one key for many phones is many.
    """
    if request_key is None:
        return callback.id
    named = "\0".join((request_key.scope, request_key.key, request_key.fingerprint))
    return hashlib.sha256(named.encode()).hexdigest()[: len(callback.id)]


def _is_stranger(callback: Callback, standing: Row[*tuple[Any, ...]]) -> bool:
    return callback.client_bucket not in (None, standing.client_bucket)


def _repeated(callback: Callback, standing: Row[*tuple[Any, ...]] | None) -> AcceptResult | None:
    """Give what the one who asks was answered before, when another callback stands for his; None: nothing yet."""
    if standing is None or standing.id == callback.id:
        return None
    if _is_stranger(callback, standing):
        return alias_of(callback, standing)
    # A service of the owner's may know that it is held.
    status = standing.status if callback.api_key else public_status(standing.status)
    return AcceptResult(standing.id, status, standing.created_at, standing.call_expected_at, duplicate=True)


def _insert(connection: Connection, callback: Callback) -> None:
    values = {name: getattr(callback, name) for name in _COLUMNS}  # asdict() would copy what is in them
    hold = callback.hold
    state = {"status": Status.QUEUED, "updated_at": callback.created_at}
    if hold is not None:
        state |= {"status": Status.HELD, "due_at": None, "reason": hold}
    # As parameters: values() would make an expression of each of them, every time.
    connection.execute(_INSERT, values | state)


def _standing(connection: Connection, callback: Callback, window: timedelta) -> Row[*tuple[Any, ...]] | None:
    """Find the callback that stands for this one: for the same phone and site, within the window or still to come.

    Or this very one, written before.
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
    # The site is compared here, so that no database thinks of looking through all that a busy site was asked for.
    may = [
        row
        for row in found.all()
        if row.site == callback.site and (_is_known(callback, row) or _may_stand(callback, row))
    ]
    return next((row for row in may if _is_known(callback, row)), may[0] if may else None)


def _is_known(callback: Callback, standing: Row[*tuple[Any, ...]]) -> bool:
    """Tell whether the one who asks knows of what stands: it is his own, or he was answered with it."""
    return not _is_stranger(callback, standing) or standing.alias_answer is not None


def _may_stand(callback: Callback, standing: Row[*tuple[Any, ...]]) -> bool:
    """Tell whether a stranger's callback may stand for one.

    Not one that he planned for later than this one is wanted: nobody loses his call by that. A visitor who changes his
    mind himself is told which time stands. And for none that is held: who filled in a trap would see it delivered.
    """
    wanted = callback.planned_time or callback.created_at
    return callback.hold is None and (standing.planned_time is None or standing.planned_time <= wanted)


def _renew(connection: Connection, callback_id: str, give_up_at: datetime) -> None:
    """Let what is still to be sent be tried for as long as the request it now stands for as well would be."""
    sooner = (callbacks.c.id == callback_id) & (callbacks.c.give_up_at < give_up_at)
    connection.execute(update(callbacks).where(sooner, _TO_BE_SENT).values(give_up_at=give_up_at))
