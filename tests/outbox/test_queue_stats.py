"""What waits, and since when, as metrics tell it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import event

from app.outbox.callback import Status
from app.outbox.outbox import Outbox
from app.outbox.queue_stats import QueueDepth
from tests.outbox.factories import NOW, InspectableOutbox, callback, rules

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
GIVE_UP_AFTER = 2 * HOUR
"""As the callbacks of making.py."""
NONE = QueueDepth(0, None)


async def asked(outbox: Outbox, number: int, **changes: Any) -> str:
    wish = callback(client_phone=f"7916000{number:04}", **changes)
    await outbox.accept(wish, None, rules())
    return wish.id


async def test_an_empty_queue_has_a_line_for_every_state(outbox: Outbox) -> None:
    assert await outbox.queue_stats() == dict.fromkeys(("held", "queued", "sending", "unknown"), NONE)


async def test_each_state_is_counted_and_tells_since_when_its_oldest_waits(outbox: Outbox) -> None:
    await asked(outbox, 1, created_at=NOW + MINUTE)
    (sent,) = await outbox.claim_due(NOW + MINUTE, max_delay=HOUR, lease=HOUR, limit=9)
    for number in range(3):
        await asked(outbox, 10 + number, created_at=NOW + number * MINUTE)
    for number in range(2):
        await asked(outbox, 20 + number, created_at=NOW + (5 + number) * MINUTE, hold="honeypot")
    assert sent.available_at == NOW + MINUTE
    assert await outbox.queue_stats() == {
        Status.HELD: QueueDepth(2, NOW + 5 * MINUTE),
        Status.QUEUED: QueueDepth(3, NOW),
        Status.SENDING: QueueDepth(1, NOW + MINUTE),
        Status.UNKNOWN: NONE,
    }


async def test_what_was_released_waits_since_then(outbox: Outbox) -> None:
    held = await asked(outbox, 1, hold="honeypot")
    await outbox.release(held, NOW + 30 * HOUR, GIVE_UP_AFTER)
    assert (await outbox.queue_stats())[Status.QUEUED] == QueueDepth(1, NOW + 30 * HOUR)


async def test_what_is_planned_waits_since_it_was_accepted(outbox: Outbox) -> None:
    await asked(outbox, 1, planned_time=NOW + 30 * HOUR, give_up_at=NOW + 32 * HOUR)
    assert (await outbox.queue_stats())[Status.QUEUED] == QueueDepth(1, NOW)


async def test_what_somebody_asked_for_again_waits_since_the_first_time(outbox: Outbox) -> None:
    await asked(outbox, 1)
    await asked(outbox, 1, created_at=NOW + HOUR)
    assert (await outbox.queue_stats())[Status.QUEUED] == QueueDepth(1, NOW)


async def test_what_is_at_its_end_is_not_counted(outbox: Outbox) -> None:
    for number in range(2):
        await asked(outbox, number)
    await outbox.cancel(await asked(outbox, 3), NOW)
    await outbox.expire(NOW + 3 * HOUR)
    assert set((await outbox.queue_stats()).values()) == {NONE}


async def test_looking_reads_what_waits_and_no_more(tmp_path: Any) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    executed: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        executed.append((statement, parameters))

    event.listen(outbox.database.reading, "before_cursor_execute", note)
    await outbox.queue_stats()
    event.remove(outbox.database.reading, "before_cursor_execute", note)
    ((statement, parameters),) = [each for each in executed if each[0].startswith("SELECT")]
    with outbox.database.reading.connect() as connection:
        steps = [step.detail for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    looks = {step for step in steps if "callbacks" in step}
    assert {step.partition(" INDEX ")[2].partition(" ")[0] for step in looks} == {
        "ix_callbacks_held",
        "ix_callbacks_due_at",
        "ix_callbacks_lease_until",
    }
    outbox.close()
