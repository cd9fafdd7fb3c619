"""Decide at the end of an attempt whether the phone has room for its resend, which rings like a new request."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from app.outbox import phone_callbacks
from app.outbox.advisory_locks import lock, phone_name
from app.outbox.callback import Status
from app.outbox.claims import AttemptOutcome, Claim, finish_attempt
from app.outbox.phone_callbacks import PhoneCap
from app.outbox.rings import exceeds_any

PHONE_CAP: Final = "phone_cap"
"""Reason of an unknown callback that is not sent again, because its phone would ring too often."""


def is_resend(result: AttemptOutcome) -> bool:
    """Return whether a call that may have been made is to be made once more."""
    return result.status is Status.UNKNOWN and result.due_at is not None


def finish(
    connection: Connection, claim: Claim, result: AttemptOutcome, now: datetime, cap: PhoneCap
) -> bool | datetime:
    """Store the result of an attempt like `finish_attempt`, without its resend if the phone has no room for it.

    With a resend it needs a transaction of its own on PostgreSQL: the phone is locked before any row.
    """
    if not is_resend(result):
        return finish_attempt(connection, claim, result, now)
    phone = claim.parameters["client_phone"]
    lock(connection, [phone_name(phone)])
    found = phone_callbacks.load(connection, [phone], now, cap.limits, [claim.callback_id])
    this = found.get(claim.callback_id)
    if this is not None and result.due_at is not None:
        rings = [ring for one in found.values() for ring in one.rings(cap.ring_time, now)]
        if exceeds_any(rings, cap.ring_time(this, max(now, result.due_at)), cap.limits):
            result = replace(result, due_at=None, reason=PHONE_CAP)
    return finish_attempt(connection, claim, result, now)
