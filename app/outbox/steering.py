"""SQL of what people decide: release what is held, cancel what is not wanted any more, retry what went wrong."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, literal, select, true, update

from app.errors import Conflict, NotFound
from app.outbox.callback import Status
from app.outbox.schema import Instant, callbacks


def release(connection: Connection, callback_id: str, now: datetime, give_up_after: timedelta) -> None:
    """Let a held callback be sent, now. Its age counts from here, or from a planned time that is still to come.

    Raises NotFound, or Conflict when it isn't held.
    """
    _move(connection, callback_id, (Status.HELD,), Status.QUEUED, now, give_up_after, "released")


def retry(connection: Connection, callback_id: str, now: datetime, give_up_after: timedelta) -> None:
    """Send a failed or unknown callback again, now; for an unknown one this may be a second call, as its person knows.

    Raises NotFound, or Conflict in any other state and when the number was erased meanwhile.
    """
    _move(connection, callback_id, (Status.FAILED, Status.UNKNOWN), Status.QUEUED, now, give_up_after, "retried")


def cancel(connection: Connection, callback_id: str, now: datetime) -> None:
    """End a callback that is not being sent this moment.

    Raises NotFound, or Conflict when it is being sent or is over.
    """
    waiting = (Status.QUEUED, Status.HELD, Status.UNKNOWN)
    _move(connection, callback_id, waiting, Status.CANCELLED, now, None, "cancelled")


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
        values |= {"due_at": now, "give_up_at": give_up_at}
    this = callbacks.c.id == callback_id
    callable_still = callbacks.c.client_phone.is_not(None) if to == Status.QUEUED else true()
    allows = this & callbacks.c.status.in_(allowed) & callable_still
    if connection.execute(update(callbacks).where(allows).values(values)).rowcount == 1:
        return
    row = connection.execute(select(callbacks.c.status, callbacks.c.client_phone).where(this)).one_or_none()
    if row is None:
        raise NotFound("not_found", "There is no callback with this id.")
    if row.status in allowed and row.client_phone is None:
        raise Conflict("personal_data_erased", "The number of this callback was erased: it can't be called any more.")
    raise Conflict("state_forbids", f"This callback is {row.status}, which forbids it.")
