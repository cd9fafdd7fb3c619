"""SQL of the actions on one callback: release a held one, cancel a waiting one, retry a failed or unknown one.

Another visitor's alias of a callback leads to that callback here too.
"""

from datetime import datetime, timedelta
from typing import Any, NoReturn

from sqlalchemy import Connection, and_, case, exists, func, literal, select

from app.errors import ConflictError
from app.outbox.callback import ACTIVE_STATUSES, IDENTITY_FIELDS, Status, callback_not_found
from app.outbox.repeats import leads_to
from app.outbox.schema import Instant, callbacks
from app.outbox.transitions import transition


def release(connection: Connection, callback_id: str, now: datetime, actor: str, give_up_after: timedelta) -> None:
    """Queue a held callback. Its age counts from now, or from a planned time still to come.

    Raises NotFoundError. Raises ConflictError when it isn't held, and when another callback covers it: see `_requeue`.
    """
    _requeue(connection, callback_id, (Status.HELD,), now, actor, give_up_after, "released")


def retry(connection: Connection, callback_id: str, now: datetime, actor: str, give_up_after: timedelta) -> None:
    """Queue a failed or unknown callback again. For an unknown one this may be a second call.

    Raises NotFoundError. Raises ConflictError in any other status, when the number was erased, and when another
    callback covers it: see `_requeue`.
    """
    _requeue(connection, callback_id, (Status.FAILED, Status.UNKNOWN), now, actor, give_up_after, "retried")


def cancel(connection: Connection, callback_id: str, now: datetime, actor: str) -> None:
    """Cancel a callback that waits. Raises NotFoundError, and ConflictError while it is being sent or after its end."""
    callback_id = _resolve_id(connection, callback_id)
    waiting = (Status.QUEUED, Status.HELD, Status.UNKNOWN)
    if not transition(
        connection,
        (callbacks.c.id == callback_id) & callbacks.c.status.in_(waiting),
        Status.CANCELLED,
        reason="cancelled",
        now=now,
        actor=actor,
    ):
        _explain(connection, callback_id, waiting, "cancelled")


def _resolve_id(connection: Connection, callback_id: str) -> str:
    """Return the id of the callback that an id means: its own, or that of the callback an alias leads to."""
    is_its_own = connection.scalar(select(exists().where(callbacks.c.id == callback_id)))
    return callback_id if is_its_own else connection.scalar(leads_to(callback_id)) or callback_id


def _requeue(
    connection: Connection,
    callback_id: str,
    allowed: tuple[Status, ...],
    now: datetime,
    actor: str,
    give_up_after: timedelta,
    reason: str,
) -> None:
    """Queue a callback, unless a later callback for the same request is active: see `_superseded`.

    Otherwise one request would phone a person twice. The caller holds the admission lock: see Database.lock_admission.
    """
    callback_id = _resolve_id(connection, callback_id)
    if _superseded(connection, callback_id, allowed):
        raise ConflictError(
            "already_called", "The same call was requested or sent again since, and that callback replaces this one."
        )
    latest, planned = literal(now + give_up_after, Instant()), callbacks.c.planned_time
    values: dict[str, Any] = {
        "due_at": now,
        "available_at": now,
        # The age of a callback planned for later counts from its planned time.
        "give_up_at": case((planned > now, latest + (planned - literal(now, Instant()))), else_=latest),
    }
    if not transition(
        connection,
        (callbacks.c.id == callback_id) & callbacks.c.status.in_(allowed) & callbacks.c.client_phone.is_not(None),
        Status.QUEUED,
        reason=reason,
        now=now,
        actor=actor,
        values=values,
    ):
        _explain(connection, callback_id, allowed, reason)


def _superseded(connection: Connection, callback_id: str, allowed: tuple[Status, ...]) -> bool:
    """Return whether a later callback for the same request is active."""
    this, other = callbacks.alias("this"), callbacks
    same_request = and_(
        other.c.client_phone == this.c.client_phone,
        other.c.site == this.c.site,
        func.coalesce(other.c.available_at, other.c.created_at) >= this.c.created_at,
        other.c.status.in_(ACTIVE_STATUSES),
        other.c.id != this.c.id,
        *(other.c[name].is_not_distinct_from(this.c[name]) for name in IDENTITY_FIELDS),
    )
    is_this = (this.c.id == callback_id) & this.c.status.in_(allowed)
    return connection.execute(select(exists().where(is_this, same_request))).scalar_one()


def _explain(connection: Connection, callback_id: str, allowed: tuple[Status, ...], reason: str) -> NoReturn:
    """Raise the error that explains why no status changed."""
    row = connection.execute(
        select(callbacks.c.status, callbacks.c.client_phone).where(callbacks.c.id == callback_id)
    ).one_or_none()
    if row is None:
        raise callback_not_found()
    if row.status in allowed and row.client_phone is None:
        raise ConflictError(
            "personal_data_erased", "The number of this callback was erased: it can't be called any more."
        )
    only = " or ".join(allowed)
    raise ConflictError("invalid_state", f"This callback is {row.status}: only one that is {only} can be {reason}.")
