"""What a visitor may know of a callback by its id: not whether the number was asked for before, is held or blocked."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Row, func, select

from app.outbox.callback import Status
from app.outbox.retention import KEEP_DUPLICATES
from app.outbox.schema import Instant, callbacks

VISIBLE_FOR: Final = KEEP_DUPLICATES
"""How long an id answers without an API key: as long as duplicates are kept, for all alike."""

_FIRST: Final = timedelta(seconds=3)
"""How long every callback is shown as queued. Otherwise one that was merged could be faster than a call."""
_LONGEST_DISGUISE: Final = timedelta(minutes=1)

_SHOWN: Final = {
    Status.HELD: Status.QUEUED,
    Status.SENDING: Status.QUEUED,
    Status.CANCELLED: Status.FAILED,
}


@dataclass(frozen=True, slots=True)
class CallbackStatus:
    """The site and the true status of a callback."""

    site: str
    status: Status


@dataclass(frozen=True, slots=True)
class PublicStatus:
    """What a visitor is shown: `status` is one of queued, placed, failed and unknown."""

    id: str
    status: Status
    call_expected_at: datetime | None


def callback_status(connection: Connection, callback_id: str) -> CallbackStatus | None:
    """Return the site and the status of a callback; None if there is none."""
    table = callbacks.c
    row = connection.execute(select(table.site, table.status).where(table.id == callback_id)).one_or_none()
    return None if row is None else CallbackStatus(row.site, Status(row.status))


_ORIGINAL = callbacks.alias("original")
# One statement for a duplicate too: a second one would show by its time that there is another callback.
_STATUS: Final = select(
    callbacks.c.id,
    callbacks.c.status,
    callbacks.c.created_at,
    callbacks.c.client_phone,
    callbacks.c.call_expected_at,
    _ORIGINAL.c.status.label("original_status"),
    # A released callback took its time from then on: otherwise a duplicate of it would be queued for longer.
    func.coalesce(_ORIGINAL.c.available_at, _ORIGINAL.c.created_at, type_=Instant()).label("original_since"),
    _ORIGINAL.c.updated_at.label("original_updated_at"),
).outerjoin(_ORIGINAL, _ORIGINAL.c.id == callbacks.c.duplicate_of)


def public_status(connection: Connection, callback_id: str, now: datetime) -> PublicStatus | None:
    """Return what a visitor may know of a callback at a time; None if there is none, it is erased, or too old.

    A duplicate shows the status of its original, but `queued` for as long as the original took, a minute at most.
    """
    row = connection.execute(_STATUS.where(callbacks.c.id == callback_id)).one_or_none()
    if row is None or row.client_phone is None or now - row.created_at > VISIBLE_FOR:
        return None
    is_early = now < row.created_at + _disguised_for(row)
    true_status = Status(row.original_status or row.status)
    status = Status.QUEUED if is_early else _SHOWN.get(true_status, true_status)
    return PublicStatus(row.id, status, row.call_expected_at)


def _disguised_for(row: Row[*tuple[object, ...]]) -> timedelta:
    if row.original_since is None:
        return _FIRST
    took: timedelta = row.original_updated_at - row.original_since
    return max(_FIRST, min(took, _LONGEST_DISGUISE))
