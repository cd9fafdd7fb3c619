"""Transitions: a status changes only by allowed moves, and each change is in the history."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from app.errors import ConflictError
from app.outbox.callback import Status
from app.outbox.schema import callbacks, status_history
from app.outbox.transitions import ALLOWED, insert_callbacks, transition
from tests.outbox.factories import NOW, InspectableOutbox, callback, hold, new_callback, store, update_columns
from tests.outbox.test_claims import claim, finish, queue, result, status

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


async def history(outbox: InspectableOutbox, callback_id: str) -> list[tuple[Any, ...]]:
    record = await outbox.get(callback_id)
    assert record is not None
    changes = [tuple(row[name] for name in ("from_status", "to_status", "reason", "actor")) for row in record.history]
    assert [row["sequence"] for row in record.history] == list(range(1, len(changes) + 1))
    return changes


async def test_a_placed_callback_has_a_complete_history(outbox: InspectableOutbox) -> None:
    (request,) = await queue(outbox)
    (first,) = await claim(outbox)
    await finish(outbox, first, result(Status.QUEUED, "not_sent", due_at=NOW, reason="not_sent"), NOW)
    (second,) = await claim(outbox)
    await finish(outbox, second, result(), NOW + SECOND)
    assert await history(outbox, request) == [
        (None, "queued", None, "visitor"),
        ("queued", "sending", None, "system"),
        ("sending", "queued", "not_sent", "system"),
        ("queued", "sending", None, "system"),
        ("sending", "placed", None, "system"),
    ]


async def test_the_history_of_a_held_callback_names_the_reason_and_the_actors(outbox: InspectableOutbox) -> None:
    held = await hold(outbox)
    await outbox.cancel(held, NOW, "key:crm")
    assert await history(outbox, held) == [
        (None, "held", "honeypot", "visitor"),
        ("held", "cancelled", "cancelled", "key:crm"),
    ]


@pytest.mark.parametrize(("key", "actor"), [(None, "visitor"), ("crm", "key:crm"), ("(terminal)", "operator")])
async def test_the_first_row_names_the_sender(outbox: InspectableOutbox, key: str | None, actor: str) -> None:
    (request,) = await store(outbox, callback(api_key=key))
    assert await history(outbox, request) == [(None, "queued", None, actor)]


async def test_expiring_blocking_and_erasing_are_in_the_history(outbox: InspectableOutbox) -> None:
    expired, unknown, blocked = (
        await queue(outbox, client_phone="79160000001", give_up_at=NOW + SECOND)
        + await queue(outbox, client_phone="79160000002", give_up_at=NOW + SECOND)
        + await queue(outbox, client_phone="79160000003")
    )
    claims = {one.callback_id: one for one in await claim(outbox)}
    resend = result(Status.UNKNOWN, "unknown", due_at=NOW + SECOND, reason="resend_once")
    await finish(outbox, claims[unknown], resend, NOW)
    for other in (expired, blocked):
        again = result(Status.QUEUED, "not_sent", due_at=NOW + SECOND, reason="not_sent")
        await finish(outbox, claims[other], again, NOW)
    held = await hold(outbox, client_phone="79160000004")
    await outbox.block("79160000003", None, NOW)
    await outbox.expire(NOW + 2 * SECOND)
    await outbox.erase(NOW + HOUR)
    assert (await history(outbox, expired))[-1] == ("queued", "failed", "expired", "system")
    assert (await history(outbox, unknown))[-1] == ("unknown", "unknown", "expired_unknown", "system")
    assert (await history(outbox, blocked))[-1] == ("queued", "cancelled", "blocked", "system")
    assert (await history(outbox, held))[-1] == ("held", "cancelled", "personal_data_erased", "system")


async def test_a_refused_action_leaves_no_row(outbox: InspectableOutbox) -> None:
    (request,) = await queue(outbox)
    await claim(outbox)
    with pytest.raises(ConflictError):
        await outbox.cancel(request, NOW)
    assert len(await history(outbox, request)) == 2


@pytest.mark.parametrize("to", Status)
@pytest.mark.parametrize("from_", Status)
async def test_only_the_moves_of_the_table_are_made(outbox: InspectableOutbox, from_: Status, to: Status) -> None:
    (request,) = await queue(outbox)
    update_columns(outbox, request, status=from_)
    with outbox.database.writing.begin() as connection:
        moved = transition(connection, callbacks.c.id == request, to, reason="test", now=NOW)
    assert moved == ([request] if to in ALLOWED[from_] else [])
    assert await status(outbox, request) == (to if moved else from_)
    assert len(await history(outbox, request)) == 1 + len(moved)


async def test_a_status_that_no_attempt_can_result_in_is_refused(outbox: InspectableOutbox) -> None:
    (request,) = await queue(outbox)
    (one,) = await claim(outbox)
    with pytest.raises(ValueError, match="from sending to held"):
        await finish(outbox, one, result(Status.HELD, "unknown"), NOW)
    assert await status(outbox, request) == "sending"


async def test_a_limit_bounds_the_rows_of_one_call(outbox: InspectableOutbox) -> None:
    requests = await queue(outbox, 12)
    with outbox.database.writing.begin() as connection:
        some = transition(connection, callbacks.c.site == "shop", Status.CANCELLED, reason="test", now=NOW, limit=5)
        rest = transition(connection, callbacks.c.site == "shop", Status.CANCELLED, reason="test", now=NOW)
    assert (len(some), len(rest)) == (5, 7)
    assert sorted([*some, *rest]) == sorted(requests)


async def test_ids_of_the_history_increase_and_are_never_reused(outbox: InspectableOutbox) -> None:
    (request,) = await queue(outbox)
    await outbox.cancel(request, NOW)
    before = outbox.scalars(select(status_history.c.id).order_by(status_history.c.id))
    outbox.execute(status_history.delete())
    with outbox.database.writing.begin() as connection:
        insert_callbacks(connection, [new_callback(callback(client_phone="79160000009"))])
    (after,) = outbox.scalars(select(status_history.c.id))
    assert before[0] < before[1] < after


async def test_the_history_of_a_transaction_that_is_rolled_back_is_dropped(outbox: InspectableOutbox) -> None:
    (request,) = await queue(outbox)
    with outbox.database.writing.connect() as connection, connection.begin() as transaction:
        transition(connection, callbacks.c.id == request, Status.CANCELLED, reason="test", now=NOW)
        transaction.rollback()
    await outbox.cancel(request, NOW)
    assert [change[1:3] for change in await history(outbox, request)] == [("queued", None), ("cancelled", "cancelled")]


async def test_the_history_of_a_batch_is_one_statement(outbox: InspectableOutbox) -> None:
    inserts: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO status_history"):
            inserts.append(statement)

    event.listen(outbox.database.writing, "before_cursor_execute", note)
    with outbox.database.writing.begin() as connection:
        for number in range(5):
            insert_callbacks(connection, [new_callback(callback(client_phone=f"7916000000{number}"))])
    event.remove(outbox.database.writing, "before_cursor_execute", note)
    assert len(inserts) == 1
