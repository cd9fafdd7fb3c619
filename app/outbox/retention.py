"""SQL of erasing: set the personal columns of old rows to null; the rows stay for statistics.

It works in batches, so that no other writer waits for long.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, bindparam, delete, or_, select, text, update

from app.outbox.callback import Status
from app.outbox.commit_markers import delete_stale_markers
from app.outbox.database import COMPACT
from app.outbox.outbox import Outbox
from app.outbox.schema import NOT_PLACED, attempts, callbacks, erased_columns, request_keys, used_challenges
from app.outbox.transitions import transition

KEEP_DUPLICATES: Final = timedelta(days=7)
"""How long a request that was merged into another is kept. So long its visitor may ask for its status."""

_BATCH: Final = 1000  # rows
_PAUSE: Final = 0.05  # seconds
_MAX_REWRITTEN: Final = 100_000_000  # bytes of a file: about a second, for which requests wait
_FINISHED: Final = (
    Status.PLACED,
    Status.FAILED,
    Status.CANCELLED,
    Status.UNKNOWN,
    Status.HELD,
    Status.DUPLICATE,
)
ERASED_WITH_A_CALLBACK: Final = (attempts,)
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
    keys = request_keys.c
    old = (
        select(keys.scope.label("in_scope"), keys.key.label("named"), keys.fingerprint.label("of_request"))
        .join(callbacks)
        .where(keys.created_at < before, callbacks.c.client_phone.is_(None))
        .limit(limit)
        .with_for_update(of=request_keys, skip_locked=True)
    )
    names = [dict(row) for row in connection.execute(old).mappings()]
    if names:
        # One statement for each key: for a list of them SQLite would read the whole table.
        this = (keys.scope == bindparam("in_scope")) & (keys.key == bindparam("named"))
        connection.execute(delete(request_keys).where(this, keys.fingerprint == bindparam("of_request")), names)
    return len(names)


def delete_duplicates_batch(connection: Connection, now: datetime, limit: int) -> int:
    """Delete up to `limit` duplicates past their retention; return how many. Strangers could store any number."""
    old = (
        select(callbacks.c.id)
        # The index of what is not placed: it holds few other rows.
        .where(callbacks.c.status == Status.DUPLICATE, text(NOT_PLACED), callbacks.c.created_at < now - KEEP_DUPLICATES)
        .limit(limit)
    )
    ids = connection.scalars(old).all()
    if ids:
        connection.execute(delete(callbacks).where(callbacks.c.id.in_(ids)))
    return len(ids)


async def erase(outbox: Outbox, now: datetime, keep: timedelta) -> int:
    """Erase the personal data of finished callbacks older than `keep`, in batches; return their number.

    Also delete their request keys, old duplicates, and the markers of processes that have ended. On SQLite no copy of
    what was erased stays in the files.
    """
    before = now - keep
    erased = await _in_batches(outbox, partial(erase_batch, before=before, now=now, limit=_BATCH))
    keys = await _in_batches(outbox, partial(delete_keys_batch, before=before, limit=_BATCH))
    duplicates = await _in_batches(outbox, partial(delete_duplicates_batch, now=now, limit=_BATCH))
    await outbox.write(delete_stale_markers)
    # Isolated: requests in the same transaction would wait for their responses until the end of VACUUM.
    await outbox.write(partial(_compact, rewrite=bool(erased or keys or duplicates)), isolated=True)
    return erased


def _compact(connection: Connection, *, rewrite: bool) -> None:
    """Remove erased data from SQLite's files after the commit. PostgreSQL leaves that to its autovacuum.

    Its `secure_delete` overwrites nearly all of it. But pages that were split keep old copies of rows until VACUUM.
    """
    if connection.dialect.name == "sqlite":
        is_small = Path(str(connection.engine.url.database)).stat().st_size <= _MAX_REWRITTEN
        connection.info[COMPACT] = rewrite and is_small


async def _in_batches(outbox: Outbox, batch: Callable[[Connection], int]) -> int:
    total = last = await outbox.write(batch)
    while last == _BATCH:
        await asyncio.sleep(_PAUSE)
        last = await outbox.write(batch)
        total += last
    return total


def delete_used_challenges(connection: Connection, now: datetime) -> None:
    """Delete the nonces of challenges that were used long ago."""
    connection.execute(delete(used_challenges).where(used_challenges.c.expires_at < now))
