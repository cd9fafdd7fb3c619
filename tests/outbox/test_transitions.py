"""Every change of a callback's status: only allowed moves, and each one in the history."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.errors import ConflictError
from app.outbox.callback import Status
from app.outbox.outbox import Outbox
from app.outbox.schema import callbacks, status_history
from app.outbox.transitions import ALLOWED, insert_callback, transition
from tests.outbox.factories import NOW, InspectableOutbox, become, callback, rules
from tests.outbox.test_claims import accept, claim, result, status

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


async def history(outbox: Outbox, callback_id: str) -> list[tuple[Any, ...]]:
    stored = await outbox.get(callback_id)
    assert stored is not None
    changes = [tuple(row[name] for name in ("from_status", "to_status", "reason", "actor")) for row in stored.history]
    assert [row["sequence"] for row in stored.history] == list(range(1, len(changes) + 1))
    return changes


async def test_a_placed_callback_has_its_whole_story(outbox: Outbox) -> None:
    (wish,) = await accept(outbox)
    (first,) = await claim(outbox)
    await outbox.finish_attempt(first, result(Status.QUEUED, "not_sent", due_at=NOW, reason="not_sent"), NOW)
    (second,) = await claim(outbox)
    await outbox.finish_attempt(second, result(), NOW + SECOND)
    assert await history(outbox, wish) == [
        (None, "queued", None, "visitor"),
        ("queued", "sending", None, "system"),
        ("sending", "queued", "not_sent", "system"),
        ("queued", "sending", None, "system"),
        ("sending", "placed", None, "system"),
    ]


async def test_a_held_one_tells_why_and_who_released_and_cancelled_it(outbox: Outbox) -> None:
    wish = callback(hold="honeypot")
    await outbox.accept(wish, None, rules())
    await outbox.release(wish.id, NOW, HOUR, "key:crm")
    await outbox.cancel(wish.id, NOW)
    assert await history(outbox, wish.id) == [
        (None, "held", "honeypot", "visitor"),
        ("held", "queued", "released", "key:crm"),
        ("queued", "cancelled", "cancelled", "operator"),
    ]


@pytest.mark.parametrize(("key", "actor"), [(None, "visitor"), ("crm", "key:crm"), ("(terminal)", "operator")])
async def test_the_first_row_names_the_sender(outbox: Outbox, key: str | None, actor: str) -> None:
    wish = callback(api_key=key)
    await outbox.accept(wish, None, rules())
    assert await history(outbox, wish.id) == [(None, "queued", None, actor)]


async def test_expired_blocked_and_erased_ones_are_in_the_history_too(outbox: Outbox) -> None:
    late, unsure, blocked = (
        await accept(outbox, client_phone="79160000001", give_up_at=NOW + SECOND)
        + await accept(outbox, client_phone="79160000002", give_up_at=NOW + SECOND)
        + await accept(outbox, client_phone="79160000003")
    )
    claims = {one.callback_id: one for one in await claim(outbox)}
    resend = result(Status.UNKNOWN, "unknown", due_at=NOW + SECOND, reason="resend_once")
    await outbox.finish_attempt(claims[unsure], resend, NOW)
    for other in (late, blocked):
        again = result(Status.QUEUED, "not_sent", due_at=NOW + SECOND, reason="not_sent")
        await outbox.finish_attempt(claims[other], again, NOW)
    held = callback(client_phone="79160000004", hold="honeypot")
    await outbox.accept(held, None, rules())
    await outbox.block("79160000003", None, NOW)
    await outbox.expire(NOW + 2 * SECOND)
    await outbox.erase(NOW + HOUR)
    assert (await history(outbox, late))[-1] == ("queued", "failed", "expired", "system")
    assert (await history(outbox, unsure))[-1] == ("unknown", "unknown", "expired_unknown", "system")
    assert (await history(outbox, blocked))[-1] == ("queued", "cancelled", "blocked", "system")
    assert (await history(outbox, held.id))[-1] == ("held", "cancelled", "personal_data_erased", "system")


async def test_an_action_that_is_refused_leaves_no_row(outbox: Outbox) -> None:
    (wish,) = await accept(outbox)
    await claim(outbox)
    for action in (outbox.release(wish, NOW, HOUR), outbox.retry(wish, NOW, HOUR), outbox.cancel(wish, NOW)):
        with pytest.raises(ConflictError):
            await action
    assert len(await history(outbox, wish)) == 2


@pytest.mark.parametrize("to", Status)
@pytest.mark.parametrize("from_", Status)
async def test_the_table_decides_which_moves_are_made(outbox: InspectableOutbox, from_: Status, to: Status) -> None:
    (wish,) = await accept(outbox)
    become(outbox, wish, status=from_)
    with outbox.database.writing.begin() as connection:
        moved = transition(connection, callbacks.c.id == wish, to, reason="test", now=NOW)
    assert moved == ([wish] if to in ALLOWED[from_] else [])
    assert await status(outbox, wish) == (to if moved else from_)
    assert len(await history(outbox, wish)) == 1 + len(moved)


async def test_a_status_that_no_result_of_an_attempt_has_is_refused(outbox: Outbox) -> None:
    (wish,) = await accept(outbox)
    (one,) = await claim(outbox)
    with pytest.raises(ValueError, match="from sending to held"):
        await outbox.finish_attempt(one, result(Status.HELD, "unknown"), NOW)
    assert await status(outbox, wish) == "sending"


async def test_a_limit_bounds_what_one_call_moves_and_large_ones_go_in_batches(outbox: InspectableOutbox) -> None:
    wishes = await accept(outbox, 12)
    with outbox.database.writing.begin() as connection:
        some = transition(connection, callbacks.c.site == "shop", Status.CANCELLED, reason="test", now=NOW, limit=5)
        rest = transition(connection, callbacks.c.site == "shop", Status.CANCELLED, reason="test", now=NOW)
    assert (len(some), len(rest)) == (5, 7)
    assert sorted([*some, *rest]) == sorted(wishes)


async def test_ids_of_the_history_grow_and_are_never_used_again(outbox: InspectableOutbox) -> None:
    (wish,) = await accept(outbox)
    await outbox.cancel(wish, NOW)
    before = outbox.scalars(select(status_history.c.id).order_by(status_history.c.id))
    outbox.execute(status_history.delete())
    with outbox.database.writing.begin() as connection:
        insert_callback(connection, _values("79160000009"))
    (after,) = outbox.scalars(select(status_history.c.id))
    assert before[0] < before[1] < after


def _values(phone: str) -> dict[str, Any]:
    new = callback(client_phone=phone)
    return {name: getattr(new, name) for name in new.__dataclass_fields__ if name != "hold"}
