"""Claims and periodic queries stay cheap with a long queue, a large archive or many paused sites."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert

from app.outbox.callback import Status
from app.outbox.schema import blocklist
from tests.outbox.factories import NOW, InspectableOutbox, update_columns
from tests.outbox.test_claims import claim, queue, status

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
                "\n".join(str(step[-1]) for step in steps if re.search(r"callbacks|ORDER|\b[bc]\b", step[-1]))
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


async def test_unknown_callbacks_to_hold_are_found_by_their_own_index(sqlite: InspectableOutbox) -> None:
    (request,) = await queue(sqlite)
    update_columns(sqlite, request, status=Status.UNKNOWN)
    with query_plans(sqlite) as recorded:
        assert await sqlite.hold_unknown(NOW, lambda _site: True) == [request]
    reading, holding, moving = recorded
    assert "ix_callbacks_to_resend" in reading, reading
    assert "ix_callbacks_to_resend" in holding, holding
    assert "(id=?)" in moving, moving


async def test_callbacks_of_blocked_phones_are_found_by_the_phones(sqlite: InspectableOutbox) -> None:
    """The queue may be far longer than the blocklist."""
    await queue(sqlite, client_phone="79160000003")
    sqlite.execute(insert(blocklist).values(entry="79160000003", created_at=NOW))
    with query_plans(sqlite) as recorded:
        await sqlite.expire(NOW)
    assert "SEARCH c USING INDEX ix_callbacks_client_phone_duplicate_of (client_phone=?)" in recorded[0], recorded
    assert not any("SCAN c" in plan for plan in recorded), recorded


async def test_callbacks_are_held_and_cancelled_whatever_else_waits(outbox: InspectableOutbox) -> None:
    holding, resending, blocked, free = (
        await queue(outbox, site="holding", client_phone="79160000001")
        + await queue(outbox, site="resending", client_phone="79160000002")
        + await queue(outbox, client_phone="79160000003")
        + await queue(outbox, client_phone="79160000004")
    )
    for unknown in (holding, resending):
        update_columns(outbox, unknown, status=Status.UNKNOWN)
    assert await outbox.hold_unknown(NOW, lambda site: site == "holding") == [holding]
    await outbox.block("79160000003", None, NOW)
    await outbox.block("79160000009", None, NOW)
    assert [await status(outbox, each) for each in (blocked, free)] == ["cancelled", "queued"]
    assert {one.callback_id for one in await claim(outbox)} == {resending, free}


async def test_callbacks_due_implausibly_late_are_claimed_last_and_within_the_limit(outbox: InspectableOutbox) -> None:
    ahead = await queue(outbox, 2, due_at=NOW + 2 * HOUR)
    (request,) = await queue(outbox, client_phone="79169999999")
    first = [one.callback_id for one in await claim(outbox, 2)]
    assert first[0] == request
    second = [one.callback_id for one in await claim(outbox, 2)]
    assert sorted(first[1:] + second) == sorted(ahead)


async def test_more_sites_may_be_paused_than_the_depth_of_an_expression_allows(outbox: InspectableOutbox) -> None:
    """SQLite limits the depth of an expression to a thousand."""
    (other,) = await queue(outbox, site="other")
    await queue(outbox, client_phone="79169999999")
    paused = [("4711", f"s{number}") for number in range(1500)] + [SHOP, ("4712", "other")]
    assert [one.callback_id for one in await claim(outbox, paused_sites=paused)] == [other]
