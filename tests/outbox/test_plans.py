"""Every statement of accepting, claiming and erasing finds its rows by an index, so a million rows cost nobody time."""

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
WHOLE = {f"SCAN {table}" for table in metadata.tables}


class Plans(dict[str, list[str]]):
    """How SQLite finds the rows of each statement, in its own words."""

    def of(self, *parts: str) -> list[str]:
        """Give the steps of the statements that have all these parts."""
        steps = [step for statement, plan in self.items() if all(part in statement for part in parts) for step in plan]
        assert steps, f"no statement with {parts}"
        return steps


@pytest.fixture
async def plans(tmp_path: Path) -> AsyncIterator[Plans]:
    """The plans of all that is done in the life of two callbacks."""
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    executed: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            executed[statement] = parameters

    event.listen(outbox.database.writing, "before_cursor_execute", note)
    await outbox.accept(from_address("2001:db8::1"), RequestKey("site:shop", "wish-1", "a" * 64), rules())
    await outbox.accept(from_address("2001:db8:1::1", hold="honeypot"), None, rules())
    stranger = from_address("2001:db8:2::1", nwt_action="always_call", call_expected_at=NOW + HOUR)
    await outbox.accept(stranger, None, rules())
    await outbox.accept(replace(stranger, id="again"), None, rules())
    await outbox.claim_due(NOW, max_delay=HOUR, lease=HOUR, limit=9)
    await outbox.expire(NOW)
    await outbox.expire(NOW)
    await outbox.erase(NOW + HOUR)
    event.remove(outbox.database.writing, "before_cursor_execute", note)
    found = Plans()
    with outbox.database.reading.connect() as connection:
        for statement, parameters in executed.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            found[statement] = [step.detail for step in plan]
    yield found
    outbox.close()


async def test_no_statement_reads_a_whole_table(plans: Plans) -> None:
    assert len(plans) > 15
    assert {statement: steps for statement, steps in plans.items() if WHOLE & set(steps)} == {}


async def test_what_was_asked_for_before_is_found_by_its_number_however_busy_the_site_is(plans: Plans) -> None:
    steps = plans.of("SELECT callbacks.id, callbacks.site", "callbacks.client_phone = ?")
    assert any("ix_callbacks_client_phone_created_at" in step for step in steps), steps
    assert not any("site" in step for step in steps), steps


async def test_what_a_visitor_was_told_of_others_callbacks_is_found_by_his_networks(plans: Plans) -> None:
    for name in ("client_bucket", "client_bucket_56", "client_bucket_48"):
        steps = plans.of("UNION ALL", f"request_keys.{name} = ?")
        assert any(f"ix_request_keys_{name}_created_at" in step for step in steps), steps
    steps = plans.of("count(*)", "request_keys.call_expected_at >= ?")
    assert any("ix_request_keys_call_expected_at" in step for step in steps), steps
    steps = plans.of("request_keys.answer", "client_phone = ?")
    assert any("ix_request_keys_callback_id" in step for step in steps), steps


async def test_accepting_binds_no_status_for_it_would_be_planned_anew_each_time(plans: Plans) -> None:
    """SQLite looks whether the value makes one of the partial indexes by status fit, at fifteen times the cost."""
    accepting = [statement for statement in plans if "alias_answer" in statement]
    assert accepting
    assert not any("status = ?" in statement for statement in accepting), accepting


async def test_erasing_does_not_look_at_what_is_erased_already(plans: Plans) -> None:
    steps = plans.of("SELECT callbacks.id", "client_phone IS NOT NULL", "created_at < ?")
    assert any("ix_callbacks_personal" in step for step in steps), steps
