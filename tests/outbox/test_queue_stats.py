"""The depth and age of the queue, as metrics report them."""

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
"""The same as in `factories.callback`."""
NONE = QueueDepth(0, None)


async def accept(outbox: Outbox, number: int, **changes: Any) -> str:
    request = callback(client_phone=f"7916000{number:04}", **changes)
    await outbox.accept(request, None, rules())
    return request.id


async def test_an_empty_queue_has_an_entry_for_every_status(outbox: Outbox) -> None:
    assert await outbox.queue_stats() == dict.fromkeys(("held", "queued", "sending", "unknown"), NONE)


async def test_each_status_has_its_count_and_the_start_of_its_longest_wait(outbox: Outbox) -> None:
    await accept(outbox, 1, created_at=NOW + MINUTE)
    (sent,) = await outbox.claim_due(NOW + MINUTE, max_delay=HOUR, lease=HOUR, limit=9)
    for number in range(3):
        await accept(outbox, 10 + number, created_at=NOW + number * MINUTE)
    for number in range(2):
        await accept(outbox, 20 + number, created_at=NOW + (5 + number) * MINUTE, hold="honeypot")
    assert sent.available_at == NOW + MINUTE
    assert await outbox.queue_stats() == {
        Status.HELD: QueueDepth(2, NOW + 5 * MINUTE),
        Status.QUEUED: QueueDepth(3, NOW),
        Status.SENDING: QueueDepth(1, NOW + MINUTE),
        Status.UNKNOWN: NONE,
    }


async def test_a_released_callback_waits_since_its_release(outbox: Outbox) -> None:
    held = await accept(outbox, 1, hold="honeypot")
    await outbox.release(held, NOW + 30 * HOUR, GIVE_UP_AFTER)
    assert (await outbox.queue_stats())[Status.QUEUED] == QueueDepth(1, NOW + 30 * HOUR)


async def test_a_planned_callback_waits_since_its_acceptance(outbox: Outbox) -> None:
    await accept(outbox, 1, planned_time=NOW + 30 * HOUR, give_up_at=NOW + 32 * HOUR)
    assert (await outbox.queue_stats())[Status.QUEUED] == QueueDepth(1, NOW)


async def test_a_repeated_request_waits_since_the_first_one(outbox: Outbox) -> None:
    await accept(outbox, 1)
    await accept(outbox, 1, created_at=NOW + HOUR)
    assert (await outbox.queue_stats())[Status.QUEUED] == QueueDepth(1, NOW)


async def test_finished_callbacks_are_not_counted(outbox: Outbox) -> None:
    for number in range(2):
        await accept(outbox, number)
    await outbox.cancel(await accept(outbox, 3), NOW)
    await outbox.expire(NOW + 3 * HOUR)
    assert set((await outbox.queue_stats()).values()) == {NONE}


async def test_queue_stats_are_read_from_partial_indexes_only(tmp_path: Any) -> None:
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    executed: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        executed.append((statement, parameters))

    event.listen(outbox.database.reading, "before_cursor_execute", record)
    await outbox.queue_stats()
    event.remove(outbox.database.reading, "before_cursor_execute", record)
    ((statement, parameters),) = [each for each in executed if each[0].startswith("SELECT")]
    with outbox.database.reading.connect() as connection:
        steps = [step.detail for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    steps_on_callbacks = {step for step in steps if "callbacks" in step}
    assert {step.partition(" INDEX ")[2].partition(" ")[0] for step in steps_on_callbacks} == {
        "ix_callbacks_held",
        "ix_callbacks_due_at",
        "ix_callbacks_lease_until",
    }
    outbox.close()
