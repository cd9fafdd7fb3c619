"""Which index a statement goes by, where the database would choose one that costs more as the tables grow."""

from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, TextClause, func, literal, literal_column, select

from app.outbox.callback import Status
from app.outbox.schema import callbacks

FEW: Final = 1000
"""How many rows may be looked at every second: that takes about a millisecond."""


def are_few(connection: Connection, *which: ColumnElement[bool] | TextClause, few: int | None = None) -> bool:
    """Tell whether fewer than ``few`` callbacks are such, None: than FEW; costs no more than that, given an index."""
    most = FEW if few is None else few
    some = select(literal(1)).select_from(callbacks).where(*which).limit(most)
    return connection.execute(select(func.count()).select_from(some.subquery())).scalar_one() < most


def has_status(status: Status) -> ColumnElement[bool]:
    """Ask for a status in the statement's own words.

    A bound one makes SQLite prepare the statement anew each time, to see whether a partial index by status will do.
    """
    return callbacks.c.status == literal_column(f"'{status}'")


def unindexed(column: Column[Any]) -> ColumnElement[Any]:
    """Give a column in a form no index is known by, where another one is to be used."""
    return func.coalesce(column, column, type_=column.type)
