"""SQL of what people decide: release what is held, cancel what is not wanted any more, retry what went wrong.

An id that a stranger was given for a callback that stood already leads to that one here too.

Everything here may run again after a connection was lost during its commit: it then finds what it did the first time.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, exists, func, literal, select, true, update

from app.errors import ConflictError
from app.outbox.callback import ACTIVE_STATUSES, IDENTITY_FIELDS, Status, callback_not_found
from app.outbox.repeats import leads_to
from app.outbox.schema import Instant, callbacks


def release(connection: Connection, callback_id: str, now: datetime, give_up_after: timedelta) -> None:
    """Let a held callback be sent, now. Its age counts from here, or from a planned time that is still to come.

    Raises NotFoundError, or ConflictError when it isn't held, and when another callback stands for it: see _send.
    """
    _send(connection, callback_id, (Status.HELD,), now, give_up_after, "released")


def retry(connection: Connection, callback_id: str, now: datetime, give_up_after: timedelta) -> None:
    """Send a failed or unknown callback again, now; for an unknown one this may be a second call, as its person knows.

    Raises NotFoundError, or ConflictError in any other state, when the number was erased, and when another callback
    stands for it: see _send.
    """
    _send(connection, callback_id, (Status.FAILED, Status.UNKNOWN), now, give_up_after, "retried")


def cancel(connection: Connection, callback_id: str, now: datetime) -> None:
    """End a callback that is not being sent this moment.

    Raises NotFoundError, or ConflictError when it is being sent or is over.
    """
    waiting = (Status.QUEUED, Status.HELD, Status.UNKNOWN)
    _move(connection, _meant(connection, callback_id), waiting, Status.CANCELLED, now, None, "cancelled")


def _meant(connection: Connection, callback_id: str) -> str:
    """Give the id of the callback that an id means: its own one if there is, though it was an alias before."""
    is_its_own = connection.scalar(select(exists().where(callbacks.c.id == callback_id)))
    return callback_id if is_its_own else connection.scalar(leads_to(callback_id)) or callback_id


def _send(
    connection: Connection,
    callback_id: str,
    allowed: tuple[Status, ...],
    now: datetime,
    give_up_after: timedelta,
    reason: str,
) -> None:
    """Let a callback be sent, unless the same was asked for since, or sent again, and is called for or was.

    Nobody is phoned twice for one wish. Accepting must stand still meanwhile, see Database.lock_admission.
    """
    callback_id = _meant(connection, callback_id)
    if _called_since(connection, callback_id, allowed):
        raise ConflictError(
            "already_called", "The same call was asked for or sent again since, and that callback stands for this one."
        )
    _move(connection, callback_id, allowed, Status.QUEUED, now, give_up_after, reason)


def _called_since(connection: Connection, callback_id: str, allowed: tuple[Status, ...]) -> bool:
    this, other = callbacks.alias("this"), callbacks
    same_wish = and_(
        other.c.client_phone == this.c.client_phone,
        other.c.site == this.c.site,
        func.coalesce(other.c.available_at, other.c.created_at) >= this.c.created_at,
        other.c.status.in_(ACTIVE_STATUSES),
        other.c.id != this.c.id,
        *(other.c[name].is_not_distinct_from(this.c[name]) for name in IDENTITY_FIELDS),
    )
    is_this = (this.c.id == callback_id) & this.c.status.in_(allowed)
    return connection.execute(select(exists().where(is_this, same_wish))).scalar_one()


def _move(
    connection: Connection,
    callback_id: str,
    allowed: tuple[Status, ...],
    to: Status,
    now: datetime,
    give_up_after: timedelta | None,
    reason: str,
) -> None:
    # One statement decides: a worker that claims at the same moment comes before or after it, never in between.
    values: dict[str, Any] = {"status": to, "due_at": None, "reason": reason, "updated_at": now}
    if give_up_after is not None:
        late, planned = literal(now + give_up_after, Instant()), callbacks.c.planned_time
        # What is planned for later counts from there.
        give_up_at = case((planned > now, late + (planned - literal(now, Instant()))), else_=late)
        values |= {"due_at": now, "give_up_at": give_up_at, "available_at": now}
    this = callbacks.c.id == callback_id
    callable_still = callbacks.c.client_phone.is_not(None) if to == Status.QUEUED else true()
    allows = this & callbacks.c.status.in_(allowed) & callable_still
    if connection.execute(update(callbacks).where(allows).values(values)).rowcount == 1:
        return
    row = connection.execute(
        select(callbacks.c.status, callbacks.c.client_phone, callbacks.c.reason, callbacks.c.updated_at).where(this)
    ).one_or_none()
    if row is None:
        raise callback_not_found()
    if (row.status, row.reason, row.updated_at) == (to, reason, now):
        return  # this very decision, whose commit was executed and its answer lost
    if row.status in allowed and row.client_phone is None:
        raise ConflictError(
            "personal_data_erased", "The number of this callback was erased: it can't be called any more."
        )
    only = " or ".join(allowed)
    raise ConflictError("invalid_state", f"This callback is {row.status}: only one that is {only} can be {reason}.")
