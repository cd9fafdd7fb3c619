"""Claims and periodic queries stay cheap with a long queue, a large archive or many paused sites."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.outbox import query_hints
from app.outbox.callback import Status
from app.outbox.outbox import Outbox
from tests.outbox.factories import NOW, InspectableOutbox, callback, rules, update_columns
from tests.outbox.test_claims import accept, claim, status

HOUR = timedelta(hours=1)
SHOP = ("4711", "shop")


@pytest.fixture
def sqlite(tmp_path: Any) -> Iterator[InspectableOutbox]:
    """Open an outbox on SQLite, as the tests compare SQLite's query plans."""
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    yield outbox
    outbox.close()


@contextmanager
def query_plans(outbox: InspectableOutbox) -> Iterator[list[str]]:
    """Collect SQLite's query plan of each statement about due callbacks that is executed meanwhile."""
    recorded: list[str] = []

    def record(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "due_at" in statement and statement.startswith(("SELECT", "UPDATE")) and "lease_token = ?" not in statement:
            steps = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            recorded.append(
                "\n".join(str(step[-1]) for step in steps if "callbacks" in step[-1] or "ORDER" in step[-1])
            )

    event.listen(outbox.database.writing, "before_cursor_execute", record)
    yield recorded
    event.remove(outbox.database.writing, "before_cursor_execute", record)


@pytest.mark.parametrize("which", [{}, {"paused": ["4711"]}, {"paused_sites": [SHOP]}, {"only": SHOP}])
async def test_a_claim_reads_due_callbacks_in_index_order_and_no_others(sqlite: InspectableOutbox, which: Any) -> None:
    with query_plans(sqlite) as recorded:
        await claim(sqlite, **which)
    by = "SEARCH callbacks USING INDEX ix_callbacks_due_at"
    assert recorded[:2] == [f"{by} (due_at<?)", f"{by} (due_at>?)"]


@pytest.mark.parametrize(("few", "index"), [(1000, "ix_callbacks_status"), (0, "ix_callbacks_due_at")])
async def test_unknown_callbacks_to_hold_are_found_by_the_shorter_index(
    sqlite: InspectableOutbox, few: int, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_hints, "DEFAULT_LIMIT", few)
    (request,) = await accept(sqlite)
    update_columns(sqlite, request, status=Status.UNKNOWN)
    with query_plans(sqlite) as recorded:
        assert await sqlite.hold_unknown(NOW, lambda _site: True) == [request]
    reading, holding, moving = recorded
    assert index in reading, reading
    assert index in holding, holding
    assert "(id=?)" in moving, moving


@pytest.mark.parametrize(("few", "index"), [(1000, "ix_callbacks_due_at"), (0, "ix_callbacks_client_phone_created_at")])
async def test_callbacks_of_blocked_phones_are_found_by_the_shorter_index(
    sqlite: InspectableOutbox, few: int, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_hints, "DEFAULT_LIMIT", few)
    with query_plans(sqlite) as recorded:
        await sqlite.expire(NOW)
    assert len([plan for plan in recorded if index in plan and "COVERING" not in plan]) >= 1, recorded
    assert not any("SCAN callbacks" in plan and "ix_callbacks_due_at" not in plan for plan in recorded), recorded


async def test_the_same_callbacks_are_held_and_cancelled_with_a_long_queue(
    outbox: InspectableOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_hints, "DEFAULT_LIMIT", 0)
    holding, resending, blocked, free = (
        await accept(outbox, site="holding", client_phone="79160000001")
        + await accept(outbox, site="resending", client_phone="79160000002")
        + await accept(outbox, client_phone="79160000003")
        + await accept(outbox, client_phone="79160000004")
    )
    for unknown in (holding, resending):
        update_columns(outbox, unknown, status=Status.UNKNOWN)
    assert await outbox.hold_unknown(NOW, lambda site: site == "holding") == [holding]
    await outbox.block("79160000003", None, NOW)
    await outbox.block("79160000009", None, NOW)
    assert [await status(outbox, each) for each in (blocked, free)] == ["cancelled", "queued"]
    assert {one.callback_id for one in await claim(outbox)} == {resending, free}


async def test_callbacks_due_implausibly_late_are_claimed_last_and_within_the_limit(outbox: Outbox) -> None:
    ahead = await accept(outbox, 2, due_at=NOW + 2 * HOUR)
    request = callback(client_phone="79169999999")
    await outbox.accept(request, None, rules())
    first = [one.callback_id for one in await claim(outbox, 2)]
    assert first[0] == request.id
    second = [one.callback_id for one in await claim(outbox, 2)]
    assert sorted(first[1:] + second) == sorted(ahead)


async def test_more_sites_may_be_paused_than_the_depth_of_an_expression_allows(outbox: Outbox) -> None:
    """SQLite limits the depth of an expression to a thousand."""
    (other,) = await accept(outbox, site="other")
    await accept(outbox, client_phone="79169999999")
    paused = [("4711", f"s{number}") for number in range(1500)] + [SHOP, ("4712", "other")]
    assert [one.callback_id for one in await claim(outbox, paused_sites=paused)] == [other]
