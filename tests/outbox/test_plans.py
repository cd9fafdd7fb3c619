"""Every statement of accepting, claiming and erasing finds its rows by an index, so a million rows cost nobody time."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from app.outbox.callback import RequestKey
from app.outbox.outbox import Outbox
from app.outbox.schema import metadata
from tests.outbox.making import NOW, from_address, rules

HOUR = timedelta(hours=1)
_WHOLE = {f"SCAN {table}" for table in metadata.tables}
KEY = RequestKey("site:shop", "wish-1", "a" * 64)


async def everything(outbox: Outbox) -> None:
    await outbox.accept(from_address("2001:db8::1"), KEY, rules())
    await outbox.accept(from_address("2001:db8:1::1", hold="honeypot"), None, rules())
    await outbox.claim_due(NOW, furthest=HOUR, lease=HOUR, limit=9)
    await outbox.expire(NOW)
    await outbox.expire(NOW)
    await outbox.erase(NOW + HOUR)


async def test_no_statement_reads_a_whole_table(tmp_path: Path) -> None:
    outbox = Outbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    executed: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        executed.append((statement, parameters))

    event.listen(outbox._database.writing, "before_cursor_execute", note)
    await everything(outbox)
    event.remove(outbox._database.writing, "before_cursor_execute", note)
    asked = [each for each in executed if each[0].startswith(("SELECT", "UPDATE", "DELETE"))]
    assert len(asked) > 20
    with outbox._database.reading.connect() as connection:
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            whole = [step.detail for step in plan if step.detail in _WHOLE]
            assert not whole, f"{statement}\n{[step.detail for step in plan]}"
    outbox.close()


async def test_erasing_does_not_look_at_what_is_erased_already(tmp_path: Path) -> None:
    outbox = Outbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    plans: list[str] = []

    def note(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT callbacks.id"):
            cursor = connection.connection.cursor()
            plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    event.listen(outbox._database.writing, "before_cursor_execute", note)
    await outbox.erase(NOW)
    assert any("ix_callbacks_personal" in plan for plan in plans), plans
    outbox.close()
