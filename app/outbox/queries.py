"""SQL of reading callbacks with their attempts: one by its id, or page by page.

Pages follow the id, which begins with the time of the request and is unique. So a reader sees every callback that was
there at the start exactly once, even if others are added or change.

No index holds the ids of each filter in order: accepting would pay for it. A selective filter uses its own index, and
its rows are sorted. An unselective one is met often enough on the way along the ids.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    TextClause,
    and_,
    func,
    literal,
    select,
    text,
)

from app.outbox.callback import Status
from app.outbox.schema import NOT_PLACED, attempts, callbacks, no_index, shown_columns, status_history

SORT_LIMIT: Final = 20_000
"""Rows up to which a page is sorted rather than found along the ids; both take some hundredths of a second then."""

_PUBLIC_COLUMNS = shown_columns(callbacks)
_ID = "id"


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """A callback, its attempts, and its changes of status, each in their order, by the names of the columns.

    The history is empty in a list.
    """

    callback: RowMapping = field(repr=False)
    attempts: Sequence[RowMapping] = field(repr=False)
    history: Sequence[RowMapping] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class CallbackFilter:
    """Selects callbacks of any of these sites and statuses (empty: all), created since a time and before another.

    `client_phone` is in digits.
    """

    sites: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    client_phone: str | None = field(default=None, repr=False)
    since: datetime | None = None
    before: datetime | None = None


_Condition = Callable[[ColumnElement[Any]], ColumnElement[bool]]


def get(connection: Connection, callback_id: str) -> CallbackRecord | None:
    """Return a callback by its id; None if there is none."""
    _repeatable_read(connection)
    found = _with_attempts(connection, select(*_PUBLIC_COLUMNS).where(callbacks.c.id == callback_id))
    if not found:
        return None
    changes = select(*shown_columns(status_history)).where(status_history.c.callback_id == callback_id)
    history = connection.execute(changes.order_by(status_history.c.sequence)).mappings().all()
    return replace(found[0], history=history)


def list_callbacks(
    connection: Connection, filters: CallbackFilter, before_id: str | None, limit: int
) -> list[CallbackRecord]:
    """Return up to `limit` callbacks, newest first. `before_id`: the last id of the previous page."""
    _repeatable_read(connection)
    conditions = _conditions(filters)
    indexed = (name for name in conditions if name != "status" or Status.PLACED not in filters.statuses)
    by = next((name for name in indexed if _is_selective(connection, name, conditions)), _ID)
    used = _index_columns(by, conditions)
    chosen = select(*_PUBLIC_COLUMNS).where(*(condition(_column(name, used)) for name, condition in conditions.items()))
    if by == "status":
        chosen = chosen.where(text(NOT_PLACED))
    id_ = _column(_ID, used)
    if before_id is not None:
        chosen = chosen.where(id_ < before_id)
    if by == _ID and filters.since is not None:
        # Ends the walk along the ids: no callback was created later than its id says.
        chosen = chosen.where(id_ >= _first_id(filters.since))
    return _with_attempts(connection, chosen.order_by(id_.desc()).limit(limit))


def _repeatable_read(connection: Connection) -> None:
    """Read callbacks and attempts from one snapshot. SQLite's transactions do so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def _conditions(filters: CallbackFilter) -> dict[str, _Condition]:
    """Return the condition on each filtered column, the most selective columns first."""
    conditions: dict[str, _Condition] = {}
    if filters.client_phone is not None:
        conditions["client_phone"] = lambda column: column == filters.client_phone
    if filters.statuses:
        conditions["status"] = lambda column: column.in_(filters.statuses)
    if filters.sites:
        conditions["site"] = lambda column: column.in_(filters.sites)
    if filters.since is not None or filters.before is not None:
        conditions["created_at"] = lambda column: and_(
            *([column >= filters.since] if filters.since else []),
            *([column < filters.before] if filters.before else []),
        )
    return conditions


def _index_columns(by: str, conditions: Mapping[str, _Condition]) -> tuple[str, ...]:
    """Return the columns that an index is used for. The index of sites holds the time as well."""
    also = by == "site" and "created_at" in conditions
    return (by, "created_at") if also else (by,)


def _is_selective(connection: Connection, name: str, conditions: Mapping[str, _Condition]) -> bool:
    which: list[ColumnElement[bool] | TextClause] = [
        conditions[used](callbacks.c[used]) for used in _index_columns(name, conditions)
    ]
    if name == "status":
        which.append(text(NOT_PLACED))
    # Reads at most that many rows of the index.
    rows = select(literal(1)).select_from(callbacks).where(*which).limit(SORT_LIMIT)
    return connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one() < SORT_LIMIT


def _column(name: str, used: Sequence[str]) -> ColumnElement[Any]:
    column: Column[Any] = callbacks.c[name]
    return column if name in used else no_index(column)


def _first_id(at: datetime) -> str:
    """Return a lower bound of the ids made at a time or later."""
    digits = f"{max(0, int(at.timestamp() * 1000)):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _with_attempts(connection: Connection, chosen: Select[*tuple[Any, ...]]) -> list[CallbackRecord]:
    rows = connection.execute(chosen).mappings().all()
    if not rows:
        return []
    made: dict[str, list[RowMapping]] = {row["id"]: [] for row in rows}
    of_these = select(attempts).where(attempts.c.callback_id.in_(made))
    for attempt in connection.execute(of_these.order_by(attempts.c.callback_id, attempts.c.number)).mappings():
        made[attempt["callback_id"]].append(attempt)
    return [CallbackRecord(row, made[row["id"]]) for row in rows]
