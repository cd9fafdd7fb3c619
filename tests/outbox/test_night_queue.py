"""The place in the night's queue: who asked before counts, and nobody else."""

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


def asked(number: int, **changes: Any) -> Callback:
    """A callback that was asked for at night, so many minutes after closing."""
    stacked = {
        "client_phone": f"7916000{number:04}",
        "client_bucket": f"203.0.113.{number}",
        "created_at": NIGHT + timedelta(minutes=number),
        "nwt_action": "always_call",
        "call_stack_start_hour": 10,
        "call_stack_interval": 10,
        "call_expected_at": START,
    }
    return callback(**(stacked | changes))


async def expected(outbox: Outbox, wish: Callback, key: RequestKey | None = None) -> datetime | None:
    return (await outbox.accept(wish, key, rules())).call_expected_at


async def seen(outbox: Outbox, callback_id: str) -> datetime | None:
    glimpse = await outbox.callback_status(callback_id)
    assert glimpse is not None
    return glimpse.call_expected_at


def test_a_call_stands_so_many_intervals_behind_the_start() -> None:
    assert call_at(START, 10, 0) == START
    assert call_at(START, 10, 3) == START + 3 * TEN_MINUTES
    assert call_at(START, None, 3) == call_at(START, 0, 3) == START


async def test_each_who_asks_at_night_is_told_a_later_time(outbox: Outbox) -> None:
    wishes = [asked(number) for number in range(4)]
    told = [await expected(outbox, wish) for wish in wishes]
    assert told == [START + place * TEN_MINUTES for place in range(4)]
    assert [await seen(outbox, wish.id) for wish in wishes] == told
    assert await outbox.next_place("shop", START) == 4


async def test_those_who_ask_at_the_same_moment_get_a_place_each(outbox: Outbox) -> None:
    told = await asyncio.gather(*(expected(outbox, asked(number)) for number in range(40)))
    assert sorted(filter(None, told)) == [START + place * TEN_MINUTES for place in range(40)]


NOT_IN_LINE: dict[str, dict[str, Any]] = {
    "another site's": {"site": "other"},
    "one that is made at once": {"call_expected_at": NIGHT},
    "one that was planned": {"planned_time": START + TEN_MINUTES, "call_expected_at": START + TEN_MINUTES},
    "one that nobody promised": {"nwt_action": "create_leed", "call_expected_at": None},
    "one of the morning before": {"created_at": NIGHT - timedelta(days=1), "call_expected_at": START - timedelta(1)},
    "one that a person has to look at first": {"hold": "honeypot"},
}


@pytest.mark.parametrize("changes", NOT_IN_LINE.values(), ids=NOT_IN_LINE)
async def test_a_call_that_does_not_wait_for_that_start_takes_no_place(outbox: Outbox, changes: dict[str, Any]) -> None:
    await outbox.accept(asked(0, **changes), None, rules())
    assert await outbox.next_place("shop", START) == 0
    assert await expected(outbox, asked(1)) == START


async def test_a_service_that_plans_a_call_for_the_night_stands_in_line(outbox: Outbox) -> None:
    await outbox.accept(asked(0), None, rules())
    assert await expected(outbox, asked(1, planned_time=NIGHT + timedelta(hours=2))) == START + TEN_MINUTES
    assert await expected(outbox, asked(2)) == START + 2 * TEN_MINUTES


async def test_a_call_that_was_cancelled_leaves_its_place(outbox: Outbox) -> None:
    first = await outbox.accept(asked(0), None, rules())
    await outbox.cancel(first.id, NIGHT)
    assert await expected(outbox, asked(1)) == START


async def test_calls_made_from_an_earlier_hour_are_not_in_the_way(outbox: Outbox) -> None:
    early = START - timedelta(hours=2)
    await outbox.accept(asked(0, call_expected_at=early), None, rules())
    assert await expected(outbox, asked(1)) == START


async def test_without_an_interval_all_are_told_the_start(outbox: Outbox) -> None:
    for number in range(3):
        assert await expected(outbox, asked(number, call_stack_interval=None)) == START


async def test_asking_twice_does_not_put_anybody_further_back(outbox: Outbox) -> None:
    key = RequestKey("site:shop", "wish", "a" * 64)
    assert await expected(outbox, asked(0), key) == START
    assert await expected(outbox, asked(1)) == START + TEN_MINUTES
    assert await expected(outbox, asked(0), key) == START  # the same request
    again = asked(0, created_at=NIGHT + timedelta(seconds=30))
    assert await expected(outbox, again) == START  # the same phone
    assert await outbox.next_place("shop", START) == 2


async def test_work_that_runs_again_tells_the_same_time(outbox: Outbox) -> None:
    wish = asked(0)
    assert await expected(outbox, wish) == await expected(outbox, wish) == START


def test_the_place_is_found_by_an_index(database_url: str) -> None:
    Outbox.open(database_url).close()
    database = open_database(database_url)
    sent: list[tuple[str, Any]] = []
    with database.reading.begin() as connection:
        if not database.is_exclusive:
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # an empty table is read whole
        event.listen(connection, "before_cursor_execute", lambda *call: sent.append((call[2], call[3])))
        next_place(connection, "shop", START)
        statement, values = sent[0]
        explain = "EXPLAIN QUERY PLAN" if database.is_exclusive else "EXPLAIN"
        plan = str(connection.exec_driver_sql(f"{explain} {statement}", values).all())
    database.close()
    assert "ix_callbacks_site_call_expected_at" in plan
