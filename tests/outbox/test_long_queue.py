"""However much waits, was ever sent or is paused: what is asked every second and at every claim stays cheap."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.outbox import plans
from app.outbox.callback import Status
from app.outbox.outbox import Outbox
from tests.outbox.factories import NOW, InspectableOutbox, become, callback, rules
from tests.outbox.test_claims import accept, claim, status

HOUR = timedelta(hours=1)
SHOP = ("4711", "shop")


@pytest.fixture
def sqlite(tmp_path: Any) -> Iterator[InspectableOutbox]:
    """An outbox whose plans are told in SQLite's words."""
    outbox = InspectableOutbox.open(f"sqlite:///{tmp_path}/callbacks.db")
    yield outbox
    outbox.close()


@contextmanager
def ways(outbox: InspectableOutbox) -> Iterator[list[str]]:
    """Gather how SQLite finds the callbacks of each statement that is written meanwhile."""
    found: list[str] = []

    def note(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "due_at" in statement and statement.startswith(("SELECT", "UPDATE")) and "lease_token = ?" not in statement:
            steps = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            found.append("\n".join(str(step[-1]) for step in steps if "callbacks" in step[-1] or "ORDER" in step[-1]))

    event.listen(outbox.database.writing, "before_cursor_execute", note)
    yield found
    event.remove(outbox.database.writing, "before_cursor_execute", note)


@pytest.mark.parametrize("which", [{}, {"paused": ["4711"]}, {"paused_sites": [SHOP]}, {"only": SHOP}])
async def test_a_claim_meets_what_is_due_in_its_order_and_reads_no_further(
    sqlite: InspectableOutbox, which: Any
) -> None:
    with ways(sqlite) as found:
        await claim(sqlite, **which)
    by = "SEARCH callbacks USING INDEX ix_callbacks_due_at"
    assert found[:2] == [f"{by} (due_at<?)", f"{by} (due_at>?)"]


@pytest.mark.parametrize(("few", "index"), [(1000, "ix_callbacks_status"), (0, "ix_callbacks_due_at")])
async def test_what_is_to_be_held_is_found_by_the_shorter_index(
    sqlite: InspectableOutbox, few: int, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "FEW", few)
    (wish,) = await accept(sqlite)
    become(sqlite, wish, status=Status.UNKNOWN)
    with ways(sqlite) as found:
        assert await sqlite.hold_unknown(NOW, lambda _site: True) == [wish]
    looking, holding, moving = found
    assert index in looking, looking
    assert index in holding, holding
    assert "(id=?)" in moving, moving


@pytest.mark.parametrize(("few", "index"), [(1000, "ix_callbacks_due_at"), (0, "ix_callbacks_client_phone_created_at")])
async def test_what_waits_for_blocked_phones_is_found_by_the_shorter_index(
    sqlite: InspectableOutbox, few: int, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "FEW", few)
    with ways(sqlite) as found:
        await sqlite.expire(NOW)
    assert len([way for way in found if index in way and "COVERING" not in way]) >= 1, found
    assert not any("SCAN callbacks" in way and "ix_callbacks_due_at" not in way for way in found), found


async def test_a_long_queue_changes_nothing_in_what_is_held_and_cancelled(
    outbox: InspectableOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "FEW", 0)
    holding, resending, blocked, free = (
        await accept(outbox, site="holding", client_phone="79160000001")
        + await accept(outbox, site="resending", client_phone="79160000002")
        + await accept(outbox, client_phone="79160000003")
        + await accept(outbox, client_phone="79160000004")
    )
    for unknown in (holding, resending):
        become(outbox, unknown, status=Status.UNKNOWN)
    assert await outbox.hold_unknown(NOW, lambda site: site == "holding") == [holding]
    await outbox.block("79160000003", None, NOW)
    await outbox.block("79160000009", None, NOW)
    assert [await status(outbox, each) for each in (blocked, free)] == ["cancelled", "queued"]
    assert {one.callback_id for one in await claim(outbox)} == {resending, free}


async def test_what_seems_to_be_due_far_ahead_comes_after_what_is_due_and_within_the_limit(outbox: Outbox) -> None:
    ahead = await accept(outbox, 2, due_at=NOW + 2 * HOUR)
    wish = callback(client_phone="79169999999")
    await outbox.accept(wish, None, rules())
    first = [one.callback_id for one in await claim(outbox, 2)]
    assert first[0] == wish.id
    second = [one.callback_id for one in await claim(outbox, 2)]
    assert sorted(first[1:] + second) == sorted(ahead)


async def test_more_sites_may_be_paused_than_a_condition_has_room_for(outbox: Outbox) -> None:
    """SQLite takes no expression that is more than a thousand deep."""
    (other,) = await accept(outbox, site="other")
    await accept(outbox, client_phone="79169999999")
    paused = [("4711", f"s{number}") for number in range(1500)] + [SHOP, ("4712", "other")]
    assert [one.callback_id for one in await claim(outbox, paused_sites=paused)] == [other]
