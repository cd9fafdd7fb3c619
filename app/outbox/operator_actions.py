"""Cancel a callback. Releasing and retrying ask whether the phone may ring: see `app/admission/requeue.py`."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from app.errors import ConflictError
from app.outbox.callback import Status, callback_not_found
from app.outbox.schema import callbacks
from app.outbox.transitions import transition

_CANCELLABLE: Final = (Status.QUEUED, Status.HELD, Status.UNKNOWN)


def cancel(connection: Connection, callback_id: str, now: datetime, actor: str) -> None:
    """Cancel a callback that waits. Raises NotFoundError, and ConflictError while it is being sent or after its end."""
    this = callbacks.c.id == callback_id
    waiting = this & callbacks.c.status.in_(_CANCELLABLE)
    if transition(connection, waiting, Status.CANCELLED, reason="cancelled", now=now, actor=actor):
        return
    row = connection.execute(select(callbacks.c.status, callbacks.c.duplicate_of).where(this)).one_or_none()
    if row is None:
        raise callback_not_found()
    raise invalid_state(row.status, row.duplicate_of, _CANCELLABLE, "cancelled")


def invalid_state(status: str, duplicate_of: str | None, allowed: tuple[Status, ...], done: str) -> ConflictError:
    """Return the error for an action that a callback's status doesn't allow; of a duplicate it names the original."""
    covered = f" of {duplicate_of}, which is the one to act on" if duplicate_of else ""
    only = " or ".join(allowed)
    return ConflictError("invalid_state", f"This callback is {status}{covered}: only one that is {only} can be {done}.")
