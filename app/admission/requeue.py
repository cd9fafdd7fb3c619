"""Release a held callback, and retry a failed or unknown one: it is asked like a new request whether it may ring.

The limits of its site and address don't apply, because an operator or an API key wants the call.
"""

from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, select

from app.admission.admission_request import AdmissionConfig
from app.admission.duplicates import chain_of, distance_of, is_same_wish
from app.errors import ConflictError
from app.outbox import phone_callbacks
from app.outbox.advisory_locks import lock, phone_name
from app.outbox.callback import Status, callback_not_found
from app.outbox.operator_actions import invalid_state
from app.outbox.rings import Ring, exceeds_any
from app.outbox.schema import blocklist, callbacks
from app.outbox.transitions import latest_ring, transition

Action = Literal["release", "retry"]

_ALLOWED: Final = {"release": (Status.HELD,), "retry": (Status.FAILED, Status.UNKNOWN)}
_DONE: Final = {"release": "released", "retry": "retried"}


def requeue(
    connection: Connection,
    action: Action,
    callback_id: str,
    now: datetime,
    give_up_after: timedelta,
    actor: str,
    config: AdmissionConfig,
) -> None:
    """Queue a callback again. Its age counts from now, or from a planned time still to come.

    Raises NotFoundError. Raises ConflictError in another status, when the number was erased, when another callback
    covers this one, and when the phone would ring too often. Needs a transaction of its own on PostgreSQL: the phone
    is locked before anything else.
    """
    phone = connection.scalar(select(callbacks.c.client_phone).where(callbacks.c.id == callback_id))
    if phone is not None:
        lock(connection, [phone_name(phone)])
    row = connection.execute(
        select(callbacks).where(callbacks.c.id == callback_id).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise callback_not_found()
    _check_state(row, action)
    _check_blocklist(connection, row.client_phone)
    ring = _check_ring(connection, row, now, config)
    values: dict[str, Any] = {
        "due_at": now,
        "available_at": now,
        "give_up_at": max(now, row.planned_time or now) + give_up_after,
        "rings_at": ring.at,
        "rings_until": latest_ring(row, ring),
    }
    transition(
        connection,
        callbacks.c.id == callback_id,
        Status.QUEUED,
        reason=_DONE[action],
        now=now,
        actor=actor,
        values=values,
    )


def _check_state(row: Row[Any], action: Action) -> None:
    allowed = _ALLOWED[action]
    if row.status not in allowed:
        raise invalid_state(row.status, row.duplicate_of, allowed, _DONE[action])
    if row.client_phone is None:
        raise ConflictError(
            "personal_data_erased", "The number of this callback was erased: it can't be called any more."
        )


def _check_blocklist(connection: Connection, phone: str) -> None:
    if connection.scalar(select(blocklist.c.entry).where(blocklist.c.entry == phone)) is not None:
        raise ConflictError("blocked", "This phone is on the blocklist: remove it from there first.")


def _check_ring(connection: Connection, row: Row[Any], now: datetime, config: AdmissionConfig) -> Ring:
    """Return when the callback would ring, after checking that no other one covers it and that the phone has room."""
    found = phone_callbacks.load(connection, [row.client_phone], now, config.per_phone, [row.id])
    this = found.pop(row.id)
    ring, time_of = config.ring_time(row, now), config.ring_time
    did_not_ring = chain_of(this, found.values())
    for other in found.values():
        distance = distance_of(other, ring, time_of, now)
        is_near = distance is not None and distance <= config.duplicate_window
        if is_near and other.id not in did_not_ring and is_same_wish(this, other):
            raise ConflictError("already_called", f"Callback {other.id} covers this one: it asks for the same call.")
    rings = [*this.rang, *(one for other in found.values() for one in other.rings(time_of, now))]
    if exceeds_any(rings, ring, config.per_phone):
        raise ConflictError(
            "phone_cap", "This number would ring more often than QUOTAS__PER_PHONE allows: try again in an hour."
        )
    return ring
