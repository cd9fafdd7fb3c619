"""The after-hours queue: a position depends on earlier requests for the same start only."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from app.outbox.callback import Callback, RequestKey
from app.outbox.database import open_database
from app.outbox.night_queue import call_at, next_place
from app.outbox.outbox import Outbox
from tests.outbox.factories import callback, rules

NIGHT = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
START = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)


def requested(number: int, **changes: Any) -> Callback:
    """Return a callback requested at night, `number` minutes after closing."""
    values = {
        "client_phone": f"7916000{number:04}",
        "client_bucket": f"203.0.113.{number}",
        "created_at": NIGHT + timedelta(minutes=number),
        "nwt_action": "always_call",
        "call_stack_start_hour": 10,
        "call_stack_interval": 10,
        "call_expected_at": START,
    }
    return callback(**(values | changes))


async def expected_time(outbox: Outbox, request: Callback, key: RequestKey | None = None) -> datetime | None:
    return (await outbox.accept(request, key, rules())).call_expected_at


async def stored_time(outbox: Outbox, callback_id: str) -> datetime | None:
    current = await outbox.callback_status(callback_id)
    assert current is not None
    return current.call_expected_at


def test_a_call_is_expected_one_interval_after_the_previous_position() -> None:
    assert call_at(START, 10, 0) == START
    assert call_at(START, 10, 3) == START + 3 * TEN_MINUTES
    assert call_at(START, None, 3) == call_at(START, 0, 3) == START


async def test_each_request_at_night_gets_a_later_time(outbox: Outbox) -> None:
    requests = [requested(number) for number in range(4)]
    times = [await expected_time(outbox, request) for request in requests]
    assert times == [START + place * TEN_MINUTES for place in range(4)]
    assert [await stored_time(outbox, request.id) for request in requests] == times
    assert await outbox.next_place("shop", START) == 4


async def test_concurrent_requests_get_distinct_positions(outbox: Outbox) -> None:
    times = await asyncio.gather(*(expected_time(outbox, requested(number)) for number in range(40)))
    assert sorted(filter(None, times)) == [START + place * TEN_MINUTES for place in range(40)]


NOT_QUEUED: dict[str, dict[str, Any]] = {
    "of another site": {"site": "other"},
    "an immediate call": {"call_expected_at": NIGHT},
    "a planned call": {"planned_time": START + TEN_MINUTES, "call_expected_at": START + TEN_MINUTES},
    "a call without an expected time": {"nwt_action": "create_leed", "call_expected_at": None},
    "a call of the morning before": {"created_at": NIGHT - timedelta(days=1), "call_expected_at": START - timedelta(1)},
    "a held callback": {"hold": "honeypot"},
}


@pytest.mark.parametrize("changes", NOT_QUEUED.values(), ids=NOT_QUEUED)
async def test_a_call_that_does_not_wait_for_that_start_takes_no_position(
    outbox: Outbox, changes: dict[str, Any]
) -> None:
    await outbox.accept(requested(0, **changes), None, rules())
    assert await outbox.next_place("shop", START) == 0
    assert await expected_time(outbox, requested(1)) == START


async def test_a_call_planned_for_closed_hours_is_queued(outbox: Outbox) -> None:
    await outbox.accept(requested(0), None, rules())
    assert await expected_time(outbox, requested(1, planned_time=NIGHT + timedelta(hours=2))) == START + TEN_MINUTES
    assert await expected_time(outbox, requested(2)) == START + 2 * TEN_MINUTES


async def test_a_cancelled_call_frees_its_position(outbox: Outbox) -> None:
    first = await outbox.accept(requested(0), None, rules())
    await outbox.cancel(first.id, NIGHT)
    assert await expected_time(outbox, requested(1)) == START


async def test_calls_of_an_earlier_start_do_not_count(outbox: Outbox) -> None:
    early = START - timedelta(hours=2)
    await outbox.accept(requested(0, call_expected_at=early), None, rules())
    assert await expected_time(outbox, requested(1)) == START


async def test_without_an_interval_all_are_expected_at_the_start(outbox: Outbox) -> None:
    for number in range(3):
        assert await expected_time(outbox, requested(number, call_stack_interval=None)) == START


async def test_a_repeated_request_keeps_its_position(outbox: Outbox) -> None:
    key = RequestKey("site:shop", "key", "a" * 64)
    assert await expected_time(outbox, requested(0), key) == START
    assert await expected_time(outbox, requested(1)) == START + TEN_MINUTES
    assert await expected_time(outbox, requested(0), key) == START  # the same request
    again = requested(0, created_at=NIGHT + timedelta(seconds=30))
    assert await expected_time(outbox, again) == START  # the same phone
    assert await outbox.next_place("shop", START) == 2


async def test_a_retried_transaction_returns_the_same_time(outbox: Outbox) -> None:
    request = requested(0)
    assert await expected_time(outbox, request) == await expected_time(outbox, request) == START


def test_the_position_is_found_by_an_index(database_url: str) -> None:
    Outbox.open(database_url).close()
    database = open_database(database_url)
    sent: list[tuple[str, Any]] = []
    with database.reading.begin() as connection:
        if not database.is_exclusive:
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # an empty table would be scanned
        event.listen(connection, "before_cursor_execute", lambda *call: sent.append((call[2], call[3])))
        next_place(connection, "shop", START)
        statement, values = sent[0]
        explain = "EXPLAIN QUERY PLAN" if database.is_exclusive else "EXPLAIN"
        plan = str(connection.exec_driver_sql(f"{explain} {statement}", values).all())
    database.close()
    assert "ix_callbacks_site_call_expected_at" in plan
