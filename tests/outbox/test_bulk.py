"""Set-based SQL: many rows as one parameter, with every value as it was; on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    select,
    text,
)

from app.outbox import bulk
from app.outbox.database import Database, open_database
from app.outbox.schema import Instant

metadata = MetaData()
VALUES = Table(
    "values_of_all_kinds",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("text", Text),
    Column("integer", Integer),
    Column("large", BigInteger),
    Column("switch", Boolean),
    Column("at", Instant),
    Column("document", JSON(none_as_null=True)),
)
COLUMNS = tuple(VALUES.c)
SUMMER = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=3)))
CASES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "empty": {"text": "", "document": {}},
    "quotes": {"text": """ '"`''"" ; -- /* $1 $$ :name %s %(name)s {braces} ? """},
    "backslashes": {"text": "\\ \\n \\u0041 \\\\ \\'"},
    "lines": {"text": "a\nb\r\nc\td\x1b\x7f"},
    "emoji": {"text": "📞 \U0001f469\u200d\U0001f467 Ёлка ﷽ \u202ertl\u202c \ufeff\u2028"},
    "like json": {"text": '{"a": [1, null]}'},
    "like a number": {"text": "0123456789012345678901234567890"},
    "like null": {"text": "null"},
    "numbers": {"integer": -(2**31), "large": 2**63 - 1},
    "true": {"switch": True},
    "false": {"switch": False},
    "an instant": {"at": datetime(2026, 11, 23, 9, 0, tzinfo=UTC)},
    "microseconds": {"at": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    "another zone": {"at": SUMMER},
    "a document": {
        "document": {
            "quotes": "' \" \\",
            "emoji": "📞",
            "Ключ": [1, 2.5, True, None, {"a": []}],
            "text": "{}",
            "empty": {},
            "line": "\n",
        }
    },
    "a list": {"document": [1, "two", None]},
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    with opened.writing.begin() as connection:
        metadata.create_all(connection)
    yield opened
    opened.close()


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with database.writing.begin() as connection:
        yield connection


def stored(connection: Connection) -> dict[str, dict[str, Any]]:
    rows = connection.execute(select(VALUES)).mappings()
    return {row["name"]: {name: value for name, value in row.items() if name != "name"} for row in rows}


def expected(case: dict[str, Any]) -> dict[str, Any]:
    return {column.name: case.get(column.name) for column in COLUMNS[1:]}


def test_inserted_values_are_read_as_they_were(connection: Connection) -> None:
    bulk.insert_rows(connection, VALUES.name, COLUMNS, ({"name": name, **case} for name, case in CASES.items()))
    assert stored(connection) == {name: expected(case) for name, case in CASES.items()}


def test_null_is_stored_as_null_also_in_a_document(connection: Connection) -> None:
    bulk.insert_rows(connection, VALUES.name, COLUMNS, [{"name": "n", "document": None, "text": None, "at": None}])
    nulls = text(f"SELECT count(*) FROM {VALUES.name} WHERE document IS NULL AND text IS NULL AND at IS NULL")
    assert connection.scalar(nulls) == 1


def test_an_inserted_row_equals_one_that_sqlalchemy_inserts(connection: Connection) -> None:
    for name, case in CASES.items():
        connection.execute(VALUES.insert().values({"name": f"{name}, one by one", **case}))
    bulk.insert_rows(connection, VALUES.name, COLUMNS, ({"name": name, **case} for name, case in CASES.items()))
    found = stored(connection)
    for name in CASES:
        assert found[name] == found[f"{name}, one by one"]


def test_no_rows_are_one_statement_too(connection: Connection) -> None:
    bulk.insert_rows(connection, VALUES.name, COLUMNS, [])
    assert stored(connection) == {}


def test_many_rows_are_inserted_at_once(connection: Connection) -> None:
    bulk.insert_rows(connection, VALUES.name, COLUMNS, ({"name": str(n), "integer": n} for n in range(5000)))
    assert {name: row["integer"] for name, row in stored(connection).items()} == {str(n): n for n in range(5000)}


@pytest.mark.parametrize("wanted", [[], ["quotes"], list(CASES), ["unknown"], ["a'b", 'c"d', "📞", "e\\f", "{g}"]])
def test_a_list_of_strings_is_looked_up(connection: Connection, wanted: list[str]) -> None:
    names = [*CASES, "a'b", 'c"d', "📞", "e\\f", "{g}"]
    bulk.insert_rows(connection, VALUES.name, COLUMNS, ({"name": name} for name in names))
    condition = bulk.is_any(connection.dialect.name, "wanted")
    query = text(f"SELECT name FROM {VALUES.name} WHERE name {condition}")
    found = connection.scalars(query, {"wanted": bulk.values(connection, wanted)}).all()
    assert sorted(found) == sorted(set(names) & set(wanted))


def test_rows_are_joined_by_their_values(connection: Connection) -> None:
    bulk.insert_rows(connection, VALUES.name, COLUMNS, ({"name": name, **case} for name, case in CASES.items()))
    columns = (VALUES.c.name, VALUES.c.at, VALUES.c.switch)
    query = text(
        f"SELECT v.name FROM {bulk.rows_of(connection.dialect.name, 'rows', columns, 'r')} "
        f"CROSS JOIN {VALUES.name} AS v WHERE v.name = r.name AND v.at >= r.at"
    )
    at = CASES["an instant"]["at"]
    rows = [
        {"name": "an instant", "at": at, "switch": None},
        {"name": "another zone", "at": SUMMER.astimezone(UTC)},
        {"name": "microseconds", "at": at},
        {"name": "nothing", "at": at},
    ]
    found = connection.scalars(query, {"rows": bulk.encode(connection, rows)}).all()
    assert sorted(found) == ["an instant", "another zone"]
