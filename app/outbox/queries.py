"""SQL of reading callbacks with their attempts: one by its id, or page by page.

Pages go by the id. It never changes and begins with the time of the request, whereas ``created_at`` moves when the
clock was set back. So whatever is added or changes meanwhile: what was there when the reading began comes exactly once.

No index holds the ids of each filter in their order, for accepting would pay for them. A filter that leaves few rows is
looked up by the index it has, and those rows are sorted. One that leaves many is met often on the way along the ids.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, RowMapping, Select, TextClause, and_, literal, select, text

from app.outbox.callback import CLIENT_BUCKETS, Status
from app.outbox.plans import are_few, unindexed
from app.outbox.repeats import leads_to
from app.outbox.schema import NOT_PLACED, attempts, callbacks

FEW: Final = 20_000
"""How many rows are sorted for a page rather than passed on the way: both take some hundredths of a second then."""

INTERNAL_COLUMNS = ("account", "chaser_site_id", "lease_token", "lease_until", "available_at", *CLIENT_BUCKETS)
PUBLIC_COLUMNS = [column for column in callbacks.c if column.name not in INTERNAL_COLUMNS]
_ID = "id"


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """A callback and its attempts, the first one first, with the names of the columns."""

    callback: RowMapping = field(repr=False)
    attempts: Sequence[RowMapping] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallbackFilter:
    """Which callbacks: of any of these sites and statuses (none: of all), asked for since a time and before another.

    ``client_phone`` in digits.
    """

    sites: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    client_phone: str | None = field(default=None, repr=False)
    since: datetime | None = None
    before: datetime | None = None


_Condition = Callable[[ColumnElement[Any]], ColumnElement[bool]]


def get(connection: Connection, callback_id: str) -> CallbackRecord | None:
    """Give a callback; also by an id that a stranger was given for it. None when there is none."""
    _see_one_moment(connection)
    for this in (literal(callback_id), leads_to(callback_id).scalar_subquery()):
        found = _with_attempts(connection, select(*PUBLIC_COLUMNS).where(callbacks.c.id == this))
        if found:
            return found[0]
    return None


def list_callbacks(
    connection: Connection, wanted: CallbackFilter, before_id: str | None, limit: int
) -> list[CallbackRecord]:
    """Give up to ``limit`` callbacks, newest first. ``below``: the last id of the page before this one."""
    _see_one_moment(connection)
    conditions = _conditions(wanted)
    indexed = (name for name in conditions if name != "status" or Status.PLACED not in wanted.statuses)
    by = next((name for name in indexed if _leaves_few(connection, name, conditions)), _ID)
    used = _used(by, conditions)
    chosen = select(*PUBLIC_COLUMNS).where(*(condition(_column(name, used)) for name, condition in conditions.items()))
    if by == "status":
        chosen = chosen.where(text(NOT_PLACED))
    id_ = _column(_ID, used)
    if before_id is not None:
        chosen = chosen.where(id_ < before_id)
    if by == _ID and wanted.since is not None:
        # Where the way along the ids may end: no callback was asked for later than its id says.
        chosen = chosen.where(id_ >= _first_id(wanted.since))
    return _with_attempts(connection, chosen.order_by(id_.desc()).limit(limit))


def _see_one_moment(connection: Connection) -> None:
    """Have all that is read show one moment, attempts and callbacks alike. SQLite's transactions do so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def _conditions(wanted: CallbackFilter) -> dict[str, _Condition]:
    """Give what is wanted of each column, the ones first that may leave few rows."""
    conditions: dict[str, _Condition] = {}
    if wanted.client_phone is not None:
        conditions["client_phone"] = lambda column: column == wanted.client_phone
    if wanted.statuses:
        conditions["status"] = lambda column: column.in_(wanted.statuses)
    if wanted.sites:
        conditions["site"] = lambda column: column.in_(wanted.sites)
    if wanted.since is not None or wanted.before is not None:
        conditions["created_at"] = lambda column: and_(
            *([column >= wanted.since] if wanted.since else []), *([column < wanted.before] if wanted.before else [])
        )
    return conditions


def _used(by: str, conditions: Mapping[str, _Condition]) -> tuple[str, ...]:
    """Name the columns that an index is looked up by. Those of phones and sites hold the time as well."""
    also = by in ("client_phone", "site") and "created_at" in conditions
    return (by, "created_at") if also else (by,)


def _leaves_few(connection: Connection, name: str, conditions: Mapping[str, _Condition]) -> bool:
    which: list[ColumnElement[bool] | TextClause] = [
        conditions[used](callbacks.c[used]) for used in _used(name, conditions)
    ]
    if name == "status":
        which.append(text(NOT_PLACED))
    return are_few(connection, *which, few=FEW)


def _column(name: str, used: Sequence[str]) -> ColumnElement[Any]:
    column: Column[Any] = callbacks.c[name]
    return column if name in used else unindexed(column)


def _first_id(at: datetime) -> str:
    """Give what the ids of a time and later are not below."""
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
