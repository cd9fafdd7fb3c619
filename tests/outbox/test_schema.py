"""Every column declares its kind of data, from which erasing, the API and the export follow."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Table, insert, select

from app.cli.export import COLUMNS
from app.outbox.retention import ERASED_WITH_A_CALLBACK
from app.outbox.schema import (
    INTERNAL,
    PERSONAL,
    PERSONAL_INTERNAL,
    PERSONAL_KEPT,
    PUBLIC,
    attempts,
    callbacks,
    erased_columns,
    metadata,
    request_keys,
    shown_columns,
    status_history,
)
from app.routes.schemas import AttemptResponse, CallbackResponse, StatusChangeResponse
from tests.outbox.factories import NOW, InspectableOutbox, callback, store_sent

KINDS = [PERSONAL, PERSONAL_INTERNAL, PERSONAL_KEPT, PUBLIC, INTERNAL]
EVERY_COLUMN = [column for table in metadata.sorted_tables for column in table.c]
CANARY = "canary-4711"


def undeclared(column: Column[Any]) -> str | None:
    """Return the line to write for a column that doesn't declare its kind of data; None for one that does."""
    if column.info in KINDS:
        return None
    return f'app/outbox/schema.py, {column.table.name}: Column("{column.name}", …, info=PERSONAL | PUBLIC | INTERNAL)'


@pytest.mark.parametrize("column", EVERY_COLUMN, ids=str)
def test_every_column_declares_its_kind_of_data(column: Column[Any]) -> None:
    assert undeclared(column) is None, f"choose one of the three: {undeclared(column)}"


def test_a_column_without_a_declaration_is_named_with_the_line_to_write() -> None:
    new = Column("shoe_size")
    Table("callbacks_of_tomorrow", metadata.__class__(), new)
    assert undeclared(new) == (
        'app/outbox/schema.py, callbacks_of_tomorrow: Column("shoe_size", …, info=PERSONAL | PUBLIC | INTERNAL)'
    )


@dataclass(frozen=True)
class ShownTable:
    """A table, and the fields that the API shows of it."""

    table: Table
    fields: set[str]


@pytest.mark.parametrize(
    "expected",
    [
        ShownTable(callbacks, CallbackResponse.model_fields.keys() - {"attempts"}),
        ShownTable(attempts, set(AttemptResponse.model_fields)),
        ShownTable(status_history, set(StatusChangeResponse.model_fields)),
    ],
    ids=lambda expected: str(expected.table),
)
def test_the_api_shows_the_public_and_personal_columns_and_no_other(expected: ShownTable) -> None:
    assert expected.fields == {column.name for column in shown_columns(expected.table)}


def test_the_export_has_every_shown_column_of_a_callback() -> None:
    of_attempts = {"attempts", "last_outcome", "last_http_status", "last_detail"}
    assert set(COLUMNS) - of_attempts == {column.name for column in shown_columns(callbacks)}


def test_every_personal_column_can_be_null() -> None:
    erased = [table.c[name] for table in (callbacks, attempts, request_keys) for name in erased_columns(table)]
    assert [str(column) for column in erased if not column.nullable] == []


def test_the_history_holds_no_personal_data() -> None:
    assert erased_columns(status_history) == {}


def test_every_table_with_erased_columns_is_erased() -> None:
    """A new one must be added to ERASED_WITH_A_CALLBACK in app/outbox/retention.py."""
    assert {table for table in metadata.sorted_tables if erased_columns(table)} == {callbacks, *ERASED_WITH_A_CALLBACK}


async def test_erasing_leaves_no_personal_data_in_any_table(outbox: InspectableOutbox) -> None:
    request = callback()
    await store_sent(outbox, request)
    key = {"scope": "site:shop", "key": "k", "fingerprint": "f", "callback_id": request.id, "created_at": NOW}
    outbox.execute(insert(request_keys).values(**key, answer={}))
    for table in (callbacks, *ERASED_WITH_A_CALLBACK):
        values = {name: CANARY[: getattr(table.c[name].type, "length", None)] for name in erased_columns(table)}
        outbox.execute(table.update().values(values))
    assert await outbox.erase(NOW + timedelta(days=1)) == 1
    for table in metadata.sorted_tables:
        for column in table.c:
            assert CANARY[:5] not in str(outbox.scalars(select(column))), column
