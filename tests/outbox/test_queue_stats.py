"""The depth and age of the queue, as metrics report them."""

from datetime import timedelta
from typing import Any

from sqlalchemy import event

from app.outbox.callback import Status
from app.outbox.queue_stats import QueueDepth
from tests.outbox.factories import CAP, NOW, InspectableOutbox, callback, hold, store, update_columns

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NONE = QueueDepth(0, None)


async def queue(outbox: InspectableOutbox, number: int, **changes: Any) -> str:
    (request,) = await store(outbox, callback(client_phone=f"7916000{number:04}", **changes))
    return request


async def test_an_empty_queue_has_an_entry_for_every_status(outbox: InspectableOutbox) -> None:
    assert await outbox.queue_stats() == dict.fromkeys(("held", "queued", "sending", "unknown"), NONE)


async def test_each_status_has_its_count_and_the_start_of_its_longest_wait(outbox: InspectableOutbox) -> None:
    await queue(outbox, 1, created_at=NOW + MINUTE)
    (sent,) = await outbox.claim_due(NOW + MINUTE, max_delay=HOUR, lease=HOUR, limit=9, cap=CAP)
    for number in range(3):
        await queue(outbox, 10 + number, created_at=NOW + number * MINUTE)
    for number in range(2):
        await hold(outbox, client_phone=f"791600000{20 + number}", created_at=NOW + (5 + number) * MINUTE)
    assert sent.available_at == NOW + MINUTE
    assert await outbox.queue_stats() == {
        Status.HELD: QueueDepth(2, NOW + 5 * MINUTE),
        Status.QUEUED: QueueDepth(3, NOW),
        Status.SENDING: QueueDepth(1, NOW + MINUTE),
        Status.UNKNOWN: NONE,
    }


async def test_a_released_callback_waits_since_its_release(outbox: InspectableOutbox) -> None:
    released = await queue(outbox, 1)
    update_columns(outbox, released, available_at=NOW + 30 * HOUR)
    assert (await outbox.queue_stats())[Status.QUEUED] == QueueDepth(1, NOW + 30 * HOUR)


async def test_a_planned_callback_waits_since_its_acceptance(outbox: InspectableOutbox) -> None:
    await queue(outbox, 1, planned_time=NOW + 30 * HOUR, give_up_at=NOW + 32 * HOUR)
    assert (await outbox.queue_stats())[Status.QUEUED] == QueueDepth(1, NOW)


async def test_a_repeated_request_waits_since_the_first_one(outbox: InspectableOutbox) -> None:
    for created_at in (NOW, NOW + HOUR):
        await outbox.admit(callback(created_at=created_at))
    assert (await outbox.queue_stats())[Status.QUEUED] == QueueDepth(1, NOW)


async def test_finished_callbacks_are_not_counted(outbox: InspectableOutbox) -> None:
    for number in range(2):
        await queue(outbox, number)
    await outbox.cancel(await queue(outbox, 3), NOW)
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
