"""Query plans of lists: SQLite chooses an index by its rules, PostgreSQL by its statistics."""

from typing import Any

import pytest
from sqlalchemy import event, text

from app.outbox import queries
from app.outbox.queries import CallbackFilter
from tests.outbox.factories import NOW, InspectableOutbox
from tests.outbox.test_queries import rows, write

ROWS = 20_000
_INSERT_MANY = """
INSERT INTO callbacks (id, site, account, chaser_site_id, status, client_phone, phone_certain, created_at, give_up_at,
    updated_at)
SELECT '01a20000-' || lpad(to_hex(n), 4, '0') || '-7000-8000-000000000000', 'site-' || n % 50, '4711', 1,
    CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'placed' END, '7916' || lpad((n % 7000)::text, 7, '0'), true,
    '2026-01-01Z'::timestamptz + n * interval '1 minute', '2027-01-01Z', '2026-01-01Z' FROM generate_series(1, :rows) n
"""
LAST = "01a2ffff-ffff-7000-8000-000000000000"
EXPECTED_PLANS: dict[str, tuple[CallbackFilter, str]] = {
    "everything": (CallbackFilter(), "id"),
    "a phone": (CallbackFilter(client_phone="79160000042"), "ix_callbacks_client_phone_duplicate_of"),
    "failures": (CallbackFilter(statuses=("failed", "unknown")), "ix_callbacks_status"),
    "a site": (CallbackFilter(sites=("site-7",)), "ix_callbacks_site_"),
    "a site's failures": (CallbackFilter(sites=("site-7",), statuses=("failed",)), "ix_callbacks_status"),
    "a time": (CallbackFilter(since=NOW, before=NOW.replace(hour=10)), "created_at"),
}


class PlanRecorder:
    """Records the database's query plan of each SELECT."""

    def __init__(self, outbox: InspectableOutbox, explain: str) -> None:
        self._explain, self.plans = explain, list[tuple[str, str]]()
        event.listen(outbox.database.reading, "before_cursor_execute", self._record)

    def _record(self, _connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            steps = cursor.execute(f"{self._explain} {statement}", parameters).fetchall()
            self.plans.append((statement, "\n".join(str(step[-1]) for step in steps)))


@pytest.fixture
def sqlite(tmp_path: Any) -> Any:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    yield outbox
    outbox.close()


@pytest.mark.parametrize("name", EXPECTED_PLANS)
async def test_few_rows_are_found_by_the_index_of_the_filter(sqlite: InspectableOutbox, name: str) -> None:
    criteria, index = EXPECTED_PLANS[name]
    recorder = PlanRecorder(sqlite, "EXPLAIN QUERY PLAN")
    await sqlite.list_callbacks(criteria, LAST, 100)
    (_, plan) = recorder.plans[-1]
    assert ("sqlite_autoindex_callbacks_1" if index == "id" else index) in plan, plan
    assert not any("SCAN callbacks" in found for _, found in recorder.plans), recorder.plans


@pytest.mark.parametrize("name", EXPECTED_PLANS)
async def test_many_rows_are_read_in_id_order(
    sqlite: InspectableOutbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SORT_LIMIT", 0)
    recorder = PlanRecorder(sqlite, "EXPLAIN QUERY PLAN")
    await sqlite.list_callbacks(EXPECTED_PLANS[name][0], LAST, 100)
    (_, plan) = recorder.plans[-1]
    assert "sqlite_autoindex_callbacks_1" in plan, plan
    assert "TEMP B-TREE" not in plan, plan


async def test_attempts_of_a_page_are_found_by_an_index_in_one_statement(sqlite: InspectableOutbox) -> None:
    write(sqlite, *rows(30))
    recorder = PlanRecorder(sqlite, "EXPLAIN QUERY PLAN")
    await sqlite.list_callbacks(CallbackFilter(), None, 100)
    of_attempts = [plan for statement, plan in recorder.plans if "FROM attempts" in statement]
    assert len(of_attempts) == 1
    assert "SEARCH attempts" in of_attempts[0]
    assert len(recorder.plans) == 2


@pytest.fixture
def on_postgresql(postgresql: Any) -> Any:
    outbox = InspectableOutbox.open(postgresql.new_database())
    yield outbox
    outbox.close()


async def test_postgresql_scans_no_whole_table_for_a_page(on_postgresql: InspectableOutbox) -> None:
    outbox = on_postgresql
    with outbox.database.writing.begin() as connection:
        connection.execute(text(_INSERT_MANY), {"rows": ROWS})
    with outbox.database.writing.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE callbacks"))
    recorder = PlanRecorder(outbox, "EXPLAIN")
    for name, (criteria, index) in EXPECTED_PLANS.items():
        await outbox.list_callbacks(criteria, LAST, 100)
        page = next(
            plan
            for statement, plan in reversed(recorder.plans)
            if "ORDER BY callbacks.id" in statement or "ORDER BY coalesce" in statement
        )
        assert "Seq Scan" not in page, (name, page)
        assert ("pk_callbacks" if index == "id" else index) in page, (name, page)
