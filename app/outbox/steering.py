"""SQL of what people decide: release what is held, cancel what is not wanted any more, retry what went wrong."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from app.errors import Conflict, NotFound
from app.outbox.callback import Status
from app.outbox.schema import callbacks


def release(connection: Connection, callback_id: str, now: datetime, give_up_after: timedelta) -> None:
    """Let a held callback be sent, now. Its age counts from here: the visitor waited for a person, not for Chaser.

    Raises NotFound, or Conflict when it isn't held.
    """
    _move(connection, callback_id, (Status.HELD,), Status.QUEUED, now, give_up_after, "released")


def retry(connection: Connection, callback_id: str, now: datetime, give_up_after: timedelta) -> None:
    """Send a failed or unknown callback again, now; for an unknown one this may be a second call, as its person knows.

    Raises NotFound, or Conflict in any other state.
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
    values = {"status": to, "due_at": None, "reason": reason, "updated_at": now}
    if give_up_after is not None:
        values |= {"due_at": now, "give_up_at": now + give_up_after}
    this = callbacks.c.id == callback_id
    moved = connection.execute(update(callbacks).where(this, callbacks.c.status.in_(allowed)).values(values))
    if moved.rowcount == 1:
        return
    status = connection.execute(select(callbacks.c.status).where(this)).scalar_one_or_none()
    if status is None:
        raise NotFound("not_found", "There is no callback with this id.")
    raise Conflict("state_forbids", f"This callback is {status}, which forbids it.")
