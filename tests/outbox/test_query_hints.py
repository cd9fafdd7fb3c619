"""Query plans: every statement of accepting, claiming and erasing uses an index, so large tables cost no time."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.outbox.callback import RequestKey
from app.outbox.schema import metadata
from tests.outbox.factories import NOW, InspectableOutbox, from_address, rules

HOUR = timedelta(hours=1)
FULL_SCANS = {f"SCAN {table}" for table in metadata.tables}


class Plans(dict[str, list[str]]):
    """SQLite's query plan of each statement."""

    def of(self, *parts: str) -> list[str]:
        """Return the plan steps of the statements that contain all these parts."""
        steps = [step for statement, plan in self.items() if all(part in statement for part in parts) for step in plan]
        assert steps, f"no statement with {parts}"
        return steps


@pytest.fixture
async def plans(tmp_path: Path) -> AsyncIterator[Plans]:
    """Record the query plans of all statements in the life of some callbacks."""
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    executed: dict[str, Any] = {}

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            executed[statement] = parameters

    event.listen(outbox.database.writing, "before_cursor_execute", record)
    await outbox.accept(from_address("2001:db8::1"), RequestKey("site:shop", "key-1", "a" * 64), rules())
    await outbox.accept(from_address("2001:db8:1::1", hold="honeypot"), None, rules())
    other = from_address("2001:db8:2::1", nwt_action="always_call", call_expected_at=NOW + HOUR)
    await outbox.accept(other, None, rules())
    await outbox.accept(replace(other, id="again"), None, rules())
    await outbox.claim_due(NOW, max_delay=HOUR, lease=HOUR, limit=9)
    await outbox.expire(NOW)
    await outbox.expire(NOW)
    await outbox.erase(NOW + HOUR)
    event.remove(outbox.database.writing, "before_cursor_execute", record)
    recorded = Plans()
    with outbox.database.reading.connect() as connection:
        for statement, parameters in executed.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            recorded[statement] = [step.detail for step in plan]
    yield recorded
    outbox.close()


async def test_no_statement_scans_a_whole_table(plans: Plans) -> None:
    assert len(plans) > 15
    assert {statement: steps for statement, steps in plans.items() if FULL_SCANS & set(steps)} == {}


async def test_duplicates_are_found_by_their_phone_however_busy_the_site_is(plans: Plans) -> None:
    steps = plans.of("SELECT callbacks.id, callbacks.site", "callbacks.client_phone = ?")
    assert any("ix_callbacks_client_phone_created_at" in step for step in steps), steps
    assert not any("site" in step for step in steps), steps


async def test_a_visitors_aliases_are_found_by_their_networks(plans: Plans) -> None:
    for name in ("client_bucket", "client_bucket_56", "client_bucket_48"):
        steps = plans.of("UNION ALL", f"request_keys.{name} = ?")
        assert any(f"ix_request_keys_{name}_created_at" in step for step in steps), steps
    steps = plans.of("request_keys.answer", "client_phone = ?")
    assert any("ix_request_keys_callback_id" in step for step in steps), steps


async def test_accepting_does_not_bind_the_status_as_a_parameter(plans: Plans) -> None:
    """SQLite would prepare the statement again at each execution, at fifteen times the cost."""
    accepting = [statement for statement in plans if "alias_answer" in statement]
    assert accepting
    assert not any("status = ?" in statement for statement in accepting), accepting


async def test_erasing_skips_erased_callbacks_by_an_index(plans: Plans) -> None:
    steps = plans.of("SELECT callbacks.id", "client_phone IS NOT NULL", "created_at < ?")
    assert any("ix_callbacks_personal" in step for step in steps), steps
