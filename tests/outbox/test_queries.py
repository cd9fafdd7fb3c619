"""Lists of callbacks: filters, order, pages and attempts, by either query plan."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from app.outbox import queries
from app.outbox.callback import Status
from app.outbox.queries import CallbackFilter
from app.outbox.schema import attempts, callbacks
from tests.outbox.factories import NOW, InspectableOutbox, callback

STATUSES = [status.value for status in Status]
PHONES = [f"7916000000{n}" for n in range(5)]


def rows(count: int, **same: Any) -> Iterator[dict[str, Any]]:
    """Yield callbacks one minute apart, the oldest first, of two sites and in every status."""
    rng = random.Random(7)
    for n in range(count):
        at = NOW + timedelta(minutes=n)
        request = callback(created_at=at, site=rng.choice(["shop", "blog"]), client_phone=rng.choice(PHONES))
        yield request.columns() | {"status": rng.choice(STATUSES), "updated_at": at} | same


def write(outbox: InspectableOutbox, *values: dict[str, Any]) -> None:
    with outbox.database.writing.begin() as connection:
        connection.execute(insert(callbacks), list(values))


async def read(outbox: InspectableOutbox, criteria: CallbackFilter, limit: int) -> list[str]:
    ids: list[str] = []
    while page := await outbox.list_callbacks(criteria, ids[-1] if ids else None, limit):
        ids += [record.callback["id"] for record in page]
    return ids


FILTERS = {
    "everything": CallbackFilter(),
    "a site": CallbackFilter(sites=("shop",)),
    "two sites": CallbackFilter(sites=("shop", "blog")),
    "an unknown site": CallbackFilter(sites=("nowhere",)),
    "failures": CallbackFilter(statuses=("failed", "unknown")),
    "placed or failed": CallbackFilter(statuses=("placed", "failed")),
    "a phone": CallbackFilter(client_phone=PHONES[0]),
    "since": CallbackFilter(since=NOW + timedelta(minutes=30)),
    "before": CallbackFilter(before=NOW + timedelta(minutes=30)),
    "all criteria": CallbackFilter(
        ("shop",), ("queued",), PHONES[1], NOW + timedelta(minutes=3), NOW + timedelta(minutes=99)
    ),
}


def matches(row: dict[str, Any], criteria: CallbackFilter) -> bool:
    return (
        (not criteria.sites or row["site"] in criteria.sites)
        and (not criteria.statuses or row["status"] in criteria.statuses)
        and criteria.client_phone in (None, row["client_phone"])
        and (criteria.since is None or row["created_at"] >= criteria.since)
        and (criteria.before is None or row["created_at"] < criteria.before)
    )


@pytest.mark.parametrize("few", [0, 10**9], ids=["in id order", "by an index"])
async def test_a_filter_returns_the_matching_callbacks_newest_first(
    outbox: InspectableOutbox, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SORT_LIMIT", few)
    written = list(rows(120))
    written[40]["created_at"] = NOW - timedelta(days=1)  # the clock was set back meanwhile
    written[41]["client_phone"] = None  # erased
    write(outbox, *written)
    for name, criteria in FILTERS.items():
        matching = [row["id"] for row in written if matches(row, criteria)]
        assert await read(outbox, criteria, 7) == sorted(matching, reverse=True), name


async def test_attempts_are_returned_with_their_callback_in_order(outbox: InspectableOutbox) -> None:
    one, other = rows(2)
    write(outbox, one, other)
    outcomes = [(one["id"], 2, "placed"), (one["id"], 1, "not_sent"), (other["id"], 1, None)]
    with outbox.database.writing.begin() as connection:
        for callback_id, number, outcome in outcomes:
            attempt = {"callback_id": callback_id, "number": number, "outcome": outcome, "started_at": NOW}
            connection.execute(insert(attempts).values(attempt))
    newest, oldest = await outbox.list_callbacks(CallbackFilter(), None, 10)
    assert [attempt["outcome"] for attempt in newest.attempts] == [None]
    assert [attempt["outcome"] for attempt in oldest.attempts] == ["not_sent", "placed"]
    found = await outbox.get(one["id"])
    assert found is not None
    assert (found.callback, found.attempts) == (oldest.callback, oldest.attempts)


async def test_a_duplicate_is_listed_and_found_as_a_callback_of_its_own(outbox: InspectableOutbox) -> None:
    original, duplicate = rows(2)
    write(outbox, original | {"status": "placed"})
    write(outbox, duplicate | {"status": "duplicate", "duplicate_of": original["id"]})
    found = await outbox.get(duplicate["id"])
    assert found is not None
    assert (found.callback["status"], found.callback["duplicate_of"]) == ("duplicate", original["id"])
    assert await read(outbox, CallbackFilter(statuses=("duplicate",)), 7) == [duplicate["id"]]
    assert await outbox.get("unknown") is None


async def test_reprs_hold_no_personal_data_and_records_no_internal_columns(outbox: InspectableOutbox) -> None:
    write(outbox, *rows(1))
    (found,) = await outbox.list_callbacks(CallbackFilter(client_phone=None), None, 1)
    assert "7916" not in repr(found) + repr(CallbackFilter(client_phone=PHONES[0]))
    assert not found.callback.keys() & {"lease_token", "client_bucket", "account"}


async def test_a_clock_set_back_between_pages_changes_no_page(outbox: InspectableOutbox) -> None:
    written = list(rows(30))
    write(outbox, *written)
    ids: list[str] = []
    while page := await outbox.list_callbacks(CallbackFilter(), ids[-1] if ids else None, 10):
        ids += [record.callback["id"] for record in page]
        moved = callbacks.c.id.in_(ids)
        with outbox.database.writing.begin() as connection:
            connection.execute(update(callbacks).where(moved).values(created_at=NOW - timedelta(days=2)))
    assert ids == sorted((row["id"] for row in written), reverse=True)
