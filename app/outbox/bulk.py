"""Set-based SQL: many rows as one parameter, so that the number of statements does not depend on their number.

PostgreSQL reads them by `json_to_recordset` and lists by `ANY`, SQLite by `json_each`. The parameter is JSON for both,
except for lists on PostgreSQL.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, Connection, TextClause, text
from sqlalchemy.engine import make_url

from app.outbox.schema import Instant

_POSTGRESQL: Final = make_url("postgresql+psycopg://").get_dialect()()
_INSTANT: Final = Instant()


def is_postgresql(connection: Connection) -> bool:
    """Return whether a connection leads to PostgreSQL; otherwise it leads to SQLite."""
    return connection.dialect.name == "postgresql"


def encode(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> str:
    """Encode rows for the parameter of `rows_of`. Values are strings, numbers, booleans, aware times, JSON, or null.

    Nulls are left out, as a missing value is read as null. They are more than half of a callback's columns.
    """
    known = [{name: value for name, value in row.items() if value is not None} for row in rows]
    if is_postgresql(connection):
        return json.dumps(known, default=datetime.isoformat)
    return json.dumps(known, default=lambda at: _INSTANT.process_bind_param(at, connection.dialect))


def values(connection: Connection, items: Collection[str]) -> Any:
    """Encode strings for the parameter of `is_any`."""
    return list(items) if is_postgresql(connection) else json.dumps(list(items))


def is_any(dialect: str, parameter: str) -> str:
    """Return the SQL condition, to follow a column, that it is one of the strings in a parameter."""
    return f"= ANY(:{parameter})" if dialect == "postgresql" else f"IN (SELECT value FROM json_each(:{parameter}))"


def rows_of(dialect: str, parameter: str, columns: Sequence[Column[Any]], alias: str) -> str:
    """Return the SQL of a FROM item with the rows in a parameter; the columns give its names and types."""
    if dialect == "postgresql":
        typed = ", ".join(f"{column.name} {column.type.compile(_POSTGRESQL)}" for column in columns)
        return f"json_to_recordset(CAST(:{parameter} AS json)) AS {alias}({typed})"
    extracted = ", ".join(f"json_extract(value, '$.{column.name}') AS {column.name}" for column in columns)
    return f"(SELECT {extracted} FROM json_each(:{parameter})) AS {alias}"


@cache
def _insertion(dialect: str, table: str, columns: tuple[Column[Any], ...]) -> TextClause:
    names = ", ".join(column.name for column in columns)
    return text(f"INSERT INTO {table} ({names}) SELECT {names} FROM {rows_of(dialect, 'rows', columns, 'r')}")


def insert_rows(
    connection: Connection, table: str, columns: tuple[Column[Any], ...], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Insert rows by one statement, also if there are none. A column that a row lacks becomes null."""
    statement = _insertion(connection.dialect.name, table, columns)
    connection.execute(statement, {"rows": encode(connection, rows)})
