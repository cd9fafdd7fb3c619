"""SQL of erasing: personal data goes when its time has come, statistics stay. A little at a time, so nobody waits."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, case, delete, select, update

from app.outbox.callback import CLIENT_BUCKETS, Status
from app.outbox.schema import attempts, callbacks, request_keys

_PERSONAL = ("client_phone", "client_ip", "active_page", "referrer", "consent", "message_on_ring", *CLIENT_BUCKETS)
_FINISHED = (Status.PLACED, Status.FAILED, Status.CANCELLED, Status.UNKNOWN, Status.HELD)


def erase_batch(connection: Connection, before: datetime, limit: int) -> int:
    """Erase the personal data of up to ``limit`` callbacks asked for before a time; returns of how many.

    Those that wait for an attempt are left alone. What nobody has released by then is cancelled: it can't be any more.
    """
    old = (
        select(callbacks.c.id)
        .where(
            callbacks.c.created_at < before,
            callbacks.c.client_phone.is_not(None),
            callbacks.c.due_at.is_(None),
            callbacks.c.status.in_(_FINISHED),
        )
        .order_by(callbacks.c.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = connection.scalars(old).all()
    if not ids:
        return 0
    # Chaser's answers are kept word for word, and may repeat the number.
    connection.execute(update(attempts).where(attempts.c.callback_id.in_(ids)).values(answer=None))
    of_these = request_keys.c.callback_id.in_(ids) & request_keys.c.client_bucket.is_not(None)
    connection.execute(update(request_keys).where(of_these).values(dict.fromkeys(CLIENT_BUCKETS)))
    held = callbacks.c.status == Status.HELD
    states = {
        "status": case((held, Status.CANCELLED), else_=callbacks.c.status),
        "reason": case((held, "personal_data_erased"), else_=callbacks.c.reason),
    }
    connection.execute(update(callbacks).where(callbacks.c.id.in_(ids)).values(dict.fromkeys(_PERSONAL) | states))
    return len(ids)


def delete_keys_batch(connection: Connection, before: datetime, limit: int) -> int:
    """Forget up to ``limit`` request keys that came before a time; returns how many.

    Only those of erased callbacks: as long as one may be called, its request asked again must not make another.
    """
    scope, key = request_keys.c.scope, request_keys.c.key
    old = (
        select(scope.label("in_scope"), key.label("named"))
        .join(callbacks)
        .where(request_keys.c.created_at < before, callbacks.c.client_phone.is_(None))
        .limit(limit)
        .with_for_update(of=request_keys, skip_locked=True)
    )
    names = [dict(row) for row in connection.execute(old).mappings()]
    if names:
        # One by one: for a list of pairs SQLite would read the whole table.
        connection.execute(delete(request_keys).where(scope == bindparam("in_scope"), key == bindparam("named")), names)
    return len(names)
