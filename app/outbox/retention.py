"""SQL of erasing: set the personal columns of old rows to null; the rows stay for statistics.

It works in batches, so that no other writer waits for long.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from app.outbox.callback import Status
from app.outbox.schema import attempts, callbacks, erased_columns, request_keys
from app.outbox.transitions import transition

_FINISHED: Final = (Status.PLACED, Status.FAILED, Status.CANCELLED, Status.UNKNOWN, Status.HELD)
ERASED_WITH_A_CALLBACK: Final = (attempts, request_keys)
"""Tables with rows of a callback, by `callback_id`."""


def erase_batch(connection: Connection, before: datetime, now: datetime, limit: int) -> int:
    """Erase the personal data of up to `limit` callbacks created before a time; return how many.

    Those that wait for an attempt stay. A held one is cancelled: without its number it can't be released.
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
    held = callbacks.c.id.in_(ids) & (callbacks.c.status == Status.HELD)
    transition(connection, held, Status.CANCELLED, reason="personal_data_erased", now=now)
    for table in ERASED_WITH_A_CALLBACK:
        erased = erased_columns(table)
        present = or_(*(table.c[name].is_not(None) for name in erased))
        connection.execute(update(table).where(table.c.callback_id.in_(ids), present).values(erased))
    connection.execute(update(callbacks).where(callbacks.c.id.in_(ids)).values(erased_columns(callbacks)))
    return len(ids)


def delete_keys_batch(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` request keys created before a time; return how many.

    Only those of erased callbacks: while a callback may still be sent, its repeated request must find it.
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
        # One statement for each key: for a list of pairs SQLite would read the whole table.
        connection.execute(delete(request_keys).where(scope == bindparam("in_scope"), key == bindparam("named")), names)
    return len(names)
