"""Query plans: every statement of admission, claiming and erasing uses an index, so large tables cost no time."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.outbox.callback import RequestKey, Status
from app.outbox.claims import AttemptOutcome
from tests.outbox.factories import CAP, NOW, InspectableOutbox, callback, from_address, store

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# An index of few rows, and what is no table.
ALLOWED_SCANS = re.compile(
    r"SCAN (json_each|named|CONSTANT|\(subquery|\w+ USING INDEX ix_callbacks_(to_resend|due_at))"
)


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
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            executed[statement] = parameters[0] if isinstance(parameters, list) else parameters

    event.listen(outbox.database.writing, "before_cursor_execute", record)
    key = RequestKey("site:shop", "key-1", "a" * 64)
    await outbox.admit(from_address("2001:db8::1"), key, nonce="0" * 32)
    await outbox.admit(from_address("2001:db8:1::1", held_for="honeypot"))
    duplicate = from_address("2001:db8:2::1")
    await outbox.admit(duplicate)
    (unknown,) = await outbox.claim_due(NOW, max_delay=HOUR, lease=HOUR, limit=9, cap=CAP)
    resend = AttemptOutcome(Status.UNKNOWN, NOW, None, "unknown", None, 1, None, None)
    assert await outbox.finish_attempt(unknown, resend, NOW, CAP)
    await outbox.hold_unknown(NOW, lambda _site: True)
    await store(outbox, callback(client_phone="79160000002", due_at=NOW, give_up_at=NOW))
    await outbox.block("79160000003", None, NOW)
    await outbox.expire(NOW)
    await outbox.erase(NOW + HOUR)
    await outbox.erase(NOW + 8 * DAY)
    event.remove(outbox.database.writing, "before_cursor_execute", record)
    recorded = Plans()
    with outbox.database.reading.connect() as connection:
        for statement, parameters in executed.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            recorded[statement] = [step.detail for step in plan]
    yield recorded
    outbox.close()


async def test_no_statement_scans_a_whole_table(plans: Plans) -> None:
    assert len(plans) > 25
    scans = [
        (step, statement)
        for statement, steps in plans.items()
        for step in steps
        if step.startswith("SCAN") and not ALLOWED_SCANS.match(step)
    ]
    assert [(step, statement) for step, statement in scans if "FROM blocklist AS b" not in statement] == []
    assert [step for step, _ in scans] == ["SCAN b USING COVERING INDEX sqlite_autoindex_blocklist_1"]


async def test_the_accept_path_binds_no_status_as_a_parameter(plans: Plans) -> None:
    """SQLite would prepare the statement again at each execution, at fifteen times the cost."""
    admitting = [statement for statement in plans if "json_each" in statement]
    assert len(admitting) >= 6
    assert not any("status = ?" in statement for statement in admitting), admitting


async def test_erasing_skips_erased_callbacks_by_an_index(plans: Plans) -> None:
    steps = plans.of("SELECT callbacks.id", "client_phone IS NOT NULL", "created_at < ?")
    assert any("ix_callbacks_personal" in step for step in steps), steps


async def test_old_duplicates_are_found_by_the_index_of_what_is_not_placed(plans: Plans) -> None:
    steps = plans.of("SELECT callbacks.id", "status <> 'placed'", "created_at < ?")
    assert any("ix_callbacks_status" in step for step in steps), steps
