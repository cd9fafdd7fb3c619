"""SQL of accepting: the same request again, the same phone again, the quotas, and the insert; one transaction."""

from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import Connection, insert, select

from app.errors import Invalid
from app.outbox.callback import Accepted, Callback, RequestKey, Status
from app.outbox.quotas import Quotas, check_quotas
from app.outbox.schema import callbacks, request_keys

# A visitor who asks again after one of these is answered with the same callback. After a failed or cancelled one
# the second request is a new wish.
_STANDING = (Status.HELD, Status.QUEUED, Status.SENDING, Status.DELIVERED, Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class AcceptRules:
    """What accepting depends on: how long a second request for the same phone counts as the first, and the quotas."""

    duplicate_window: timedelta
    quotas: Quotas


def accept(connection: Connection, callback: Callback, request_key: RequestKey | None, rules: AcceptRules) -> Accepted:
    """Write the callback down, or find the one that stands for it already.

    Raises Invalid when the request key was used for another request, TooMany when a quota is reached.
    """
    if request_key is not None and (earlier := _replayed(connection, request_key)) is not None:
        return earlier
    accepted = _standing(connection, callback, rules.duplicate_window)
    if accepted is None:
        check_quotas(connection, callback, rules.quotas)
        values = asdict(callback)
        connection.execute(insert(callbacks).values(**values, status=Status.QUEUED, updated_at=callback.created_at))
        accepted = Accepted(callback.id, Status.QUEUED, callback.created_at, callback.call_expected_at)
    if request_key is not None:
        # Also for a duplicate: its answer may get lost, and its repetition may come after the window.
        connection.execute(
            insert(request_keys).values(
                scope=request_key.scope,
                key=request_key.key,
                fingerprint=request_key.fingerprint,
                callback_id=accepted.id,
                created_at=callback.created_at,
            )
        )
    return accepted


def _replayed(connection: Connection, request_key: RequestKey) -> Accepted | None:
    row = connection.execute(
        select(
            request_keys.c.fingerprint,
            request_keys.c.created_at.label("asked_at"),
            callbacks.c.id,
            callbacks.c.created_at,
            callbacks.c.call_expected_at,
        )
        .join(callbacks, callbacks.c.id == request_keys.c.callback_id)
        .where(request_keys.c.scope == request_key.scope, request_keys.c.key == request_key.key)
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request_key.fingerprint:
        raise Invalid("request_id_reused", "This request_id came before with another request: use a new one.")
    # The answer is the one of the first time, whatever has become of the callback since.
    return Accepted(
        row.id, Status.QUEUED, row.created_at, row.call_expected_at, row.asked_at != row.created_at, replayed=True
    )


def _standing(connection: Connection, callback: Callback, window: timedelta) -> Accepted | None:
    row = connection.execute(
        select(callbacks.c.id, callbacks.c.status, callbacks.c.created_at, callbacks.c.call_expected_at)
        .where(
            callbacks.c.client_phone == callback.client_phone,
            callbacks.c.created_at > callback.created_at - window,
            callbacks.c.site == callback.site,
            callbacks.c.status.in_(_STANDING),
        )
        .order_by(callbacks.c.created_at.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Accepted(row.id, row.status, row.created_at, row.call_expected_at, duplicate=True)
