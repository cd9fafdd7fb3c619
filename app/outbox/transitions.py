"""The only code that writes a callback's status. Every change appends a row to `status_history`.

ALLOWED is the table of moves; docs/lifecycle.md draws it. A status written elsewhere would be missing in the history,
which is the log of events, so `make lint` refuses it.

All functions run in the transaction of their caller. The engine inserts the history at its commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, func, select, update

from app.outbox import bulk
from app.outbox.callback import Status
from app.outbox.rings import Ring
from app.outbox.schema import callbacks, no_index, status_history

ALLOWED: Final[Mapping[Status | None, frozenset[Status]]] = {
    None: frozenset({Status.QUEUED, Status.HELD, Status.DUPLICATE}),
    Status.HELD: frozenset({Status.QUEUED, Status.CANCELLED}),
    Status.QUEUED: frozenset({Status.SENDING, Status.FAILED, Status.UNKNOWN, Status.CANCELLED}),
    Status.SENDING: frozenset({Status.PLACED, Status.FAILED, Status.UNKNOWN, Status.QUEUED}),
    # To itself: the reason changes, such as from a resend that is due to one that expired.
    Status.UNKNOWN: frozenset({Status.SENDING, Status.QUEUED, Status.UNKNOWN, Status.CANCELLED}),
    Status.FAILED: frozenset({Status.QUEUED}),
    Status.PLACED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.DUPLICATE: frozenset(),
}
"""The statuses that may follow each status; None is a callback that is not stored yet."""

SYSTEM: Final = "system"
VISITOR: Final = "visitor"
OPERATOR: Final = "operator"

_PENDING: Final = "status_history"
"""Key in `Connection.info` of the history rows that `write_history` inserts."""

BATCH: Final = 500  # rows of one UPDATE: each is a parameter, and SQLite takes 32,766

# Built once: building a statement takes several times as long as executing it.
_CALLBACK_COLUMNS: Final = tuple(callbacks.c)
_HISTORY_COLUMNS: Final = tuple(column for column in status_history.c if column.name != "id")
_NEXT_SEQUENCE: Final = callbacks.c.status_sequence + 1
_START_SENDING: Final = (
    update(callbacks)
    .where(callbacks.c.id == bindparam("callback"))
    .values(
        status=Status.SENDING,
        due_at=None,
        reason=None,
        lease_token=bindparam("token"),
        lease_until=bindparam("until"),
        updated_at=bindparam("now"),
        rings_at=bindparam("ring"),
        rings_until=bindparam("ring_until"),
        status_sequence=_NEXT_SEQUENCE,
    )
)


def actor_of(api_key: str | None) -> str:
    """Return the actor of a request: VISITOR, OPERATOR, or `key:` and the name of the API key."""
    if api_key is None:
        return VISITOR
    # The operator's key has a name in parentheses, which no key of the settings can have.
    return OPERATOR if api_key.startswith("(") else f"key:{api_key}"


@dataclass(frozen=True, slots=True)
class NewCallback:
    """A callback to insert: its columns, its first status, and a stable code of the reason for that."""

    values: Mapping[str, Any]
    status: Status
    reason: str | None


def insert_callbacks(connection: Connection, new: Sequence[NewCallback]) -> None:
    """Insert accepted callbacks by one statement."""
    rows, history = [], []
    for one in new:
        _check(None, one.status)
        values, now = one.values, one.values["created_at"]
        rows.append({**values, "status": one.status, "reason": one.reason, "status_sequence": 1, "updated_at": now})
        actor = actor_of(values["api_key"])
        history.append(_history(values["id"], values["site"], 1, None, one.status, one.reason, actor, now))
    bulk.insert_rows(connection, callbacks.name, _CALLBACK_COLUMNS, rows)
    _append(connection, history)


def start_sending(
    connection: Connection,
    rows: Sequence[Row[*tuple[Any, ...]]],
    rings: Sequence[Ring],
    token: str,
    lease_until: datetime,
    now: datetime,
) -> None:
    """Move locked rows of `callbacks` to `sending`, under the lease of a claim; `rings` are those of the rows."""
    if not rows:
        return
    changes = [_moved(row, Status.SENDING, None, SYSTEM, now) for row in rows]
    lease = {"token": token, "until": lease_until, "now": now}
    sent = [
        {"callback": row.id, "ring": ring.at, "ring_until": latest_ring(row, ring), **lease}
        for row, ring in zip(rows, rings, strict=True)
    ]
    connection.execute(_START_SENDING, sent)
    _append(connection, changes)


def latest_ring(row: Row[*tuple[Any, ...]], ring: Ring) -> datetime:
    """Return the last moment at which an attempt of a callback may ring, those before a new ring included.

    Otherwise an uncertain ring would leave the phone's cap once a later attempt was certain.
    """
    return ring.until if row.rings_until is None else max(ring.until, row.rings_until)


def finish_sending(
    connection: Connection,
    condition: ColumnElement[bool],
    to: Status,
    reason: str | None,
    due_at: datetime | None,
    now: datetime,
) -> bool:
    """Move the one callback in `sending` that meets a condition and end its lease. Return False if none does."""
    _check(Status.SENDING, to)
    row = connection.execute(
        update(callbacks)
        .where(condition, callbacks.c.status == Status.SENDING)
        .values(
            status=to,
            due_at=due_at,
            reason=reason,
            lease_token=None,
            lease_until=None,
            updated_at=now,
            status_sequence=_NEXT_SEQUENCE,
        )
        .returning(callbacks.c.id, callbacks.c.site, callbacks.c.status_sequence)
    ).one_or_none()
    if row is None:
        return False
    history = _history(row.id, row.site, row.status_sequence, Status.SENDING, to, reason, SYSTEM, now)
    _append(connection, [history])
    return True


def transition(
    connection: Connection,
    condition: ColumnElement[bool],
    to: Status,
    *,
    reason: str,
    now: datetime,
    actor: str = SYSTEM,
    values: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> list[str]:
    """Move the callbacks that meet a condition and whose status allows it; return their ids.

    `values` are further columns to write; `due_at` becomes null unless it is among them. `limit` bounds the rows of
    one call.
    """
    sources = [status for status, following in ALLOWED.items() if status is not None and to in following]
    table = callbacks.c
    rows = connection.execute(
        select(table.id, table.site, table.status, table.status_sequence)
        .where(condition, table.status.in_(sources))
        # In one order: two replicas that lock the same rows in two orders would deadlock. Not by an index: SQLite would
        # walk along all ids rather than use the index of the condition.
        .order_by(no_index(table.id))
        .limit(limit)
        .with_for_update(key_share=True)
    ).all()
    columns = {"due_at": None, **(values or {}), "status": to, "reason": reason, "updated_at": now}
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        moved = table.id.in_([row.id for row in some])
        connection.execute(update(callbacks).where(moved).values(**columns, status_sequence=_NEXT_SEQUENCE))
        _append(connection, [_moved(row, to, reason, actor, now) for row in some])
    return [row.id for row in rows]


def continue_ids(connection: Connection) -> None:
    """Set PostgreSQL's sequence of history ids behind the copied rows, whose ids it did not make."""
    if connection.dialect.name == "postgresql":
        last = select(func.coalesce(func.max(status_history.c.id), 0) + 1).scalar_subquery()
        sequence = func.pg_get_serial_sequence(status_history.name, status_history.c.id.name)
        connection.execute(select(func.setval(sequence, last, False)))  # not used yet


def write_history(connection: Connection) -> None:
    """Insert the history of a transaction, just before its commit: one statement for all requests that share it."""
    rows = connection.info.pop(_PENDING, None)
    if rows:
        bulk.insert_rows(connection, status_history.name, _HISTORY_COLUMNS, rows)


def drop_history(connection: Connection) -> None:
    """Forget the history of a transaction that is rolled back. A lost connection has taken it along."""
    if not connection.invalidated:
        connection.info.pop(_PENDING, None)


def _append(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.info.setdefault(_PENDING, []).extend(rows)


def _check(from_: Status | None, to: Status) -> None:
    if to not in ALLOWED[from_]:
        raise ValueError(f"A callback can't move from {from_} to {to}.")


def _moved(row: Row[*tuple[Any, ...]], to: Status, reason: str | None, actor: str, now: datetime) -> dict[str, Any]:
    from_ = Status(row.status)
    _check(from_, to)
    return _history(row.id, row.site, row.status_sequence + 1, from_, to, reason, actor, now)


def _history(
    callback_id: str,
    site: str,
    sequence: int,
    from_: Status | None,
    to: Status,
    reason: str | None,
    actor: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the row of a change."""
    return {
        "callback_id": callback_id,
        "site": site,
        "sequence": sequence,
        "from_status": from_,
        "to_status": to,
        "reason": reason,
        "actor": actor,
        "created_at": now,
    }
