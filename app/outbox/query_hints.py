"""Query hints: keep the planner from an index whose cost would grow with the tables."""

from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, TextClause, func, literal, literal_column, select

from app.outbox.callback import Status
from app.outbox.schema import callbacks

DEFAULT_LIMIT: Final = 1000
"""How many rows may be read every second: this takes about a millisecond."""


def fewer_than(connection: Connection, *conditions: ColumnElement[bool] | TextClause, limit: int | None = None) -> bool:
    """Return whether fewer than `limit` callbacks meet the conditions; None stands for `DEFAULT_LIMIT`.

    Reads at most that many rows, provided that an index covers the conditions.
    """
    limit = DEFAULT_LIMIT if limit is None else limit
    rows = select(literal(1)).select_from(callbacks).where(*conditions).limit(limit)
    return connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one() < limit


def status_literal(status: Status) -> ColumnElement[bool]:
    """Return the condition that a callback has a status, as a literal in the statement.

    For a bound parameter SQLite prepares the statement again at each execution, to see whether a partial index applies.
    """
    return callbacks.c.status == literal_column(f"'{status}'")


def no_index(column: Column[Any]) -> ColumnElement[Any]:
    """Return an expression equal to a column that matches no index, so that the planner uses another one."""
    return func.coalesce(column, column, type_=column.type)
