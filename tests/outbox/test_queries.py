"""Pages of callbacks: what a filter leaves, in which order, with which attempts; whichever way the rows are found."""

import random
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from app.outbox import queries
from app.outbox.callback import Status
from app.outbox.outbox import Outbox
from app.outbox.queries import CallbackFilter
from app.outbox.repeats import ALIAS
from app.outbox.schema import attempts, callbacks, request_keys
from tests.outbox.factories import NOW, InspectableOutbox, callback

STATUSES = [status.value for status in Status]
PHONES = [f"7916000000{n}" for n in range(5)]


def rows(count: int, **same: Any) -> Iterator[dict[str, Any]]:
    """Make callbacks a minute apart, the oldest first, of two sites and in every status."""
    chance = random.Random(7)
    for n in range(count):
        at = NOW + timedelta(minutes=n)
        made = callback(created_at=at, site=chance.choice(["shop", "blog"]), client_phone=chance.choice(PHONES))
        values = asdict(made) | {"status": chance.choice(STATUSES), "updated_at": at} | same
        values.pop("hold")
        yield values


def write(outbox: InspectableOutbox, *made: dict[str, Any]) -> None:
    with outbox.database.writing.begin() as connection:
        connection.execute(insert(callbacks), list(made))


async def read(outbox: Outbox, wanted: CallbackFilter, limit: int) -> list[str]:
    ids: list[str] = []
    while page := await outbox.list_callbacks(wanted, ids[-1] if ids else None, limit):
        ids += [stored.callback["id"] for stored in page]
    return ids


WANTED = {
    "everything": CallbackFilter(),
    "a site": CallbackFilter(sites=("shop",)),
    "two sites": CallbackFilter(sites=("shop", "blog")),
    "an unknown site": CallbackFilter(sites=("nowhere",)),
    "what went wrong": CallbackFilter(statuses=("failed", "unknown")),
    "what was delivered": CallbackFilter(statuses=("placed", "failed")),
    "a phone": CallbackFilter(client_phone=PHONES[0]),
    "since": CallbackFilter(since=NOW + timedelta(minutes=30)),
    "before": CallbackFilter(before=NOW + timedelta(minutes=30)),
    "all of it": CallbackFilter(
        ("shop",), ("queued",), PHONES[1], NOW + timedelta(minutes=3), NOW + timedelta(minutes=99)
    ),
}


def fits(row: dict[str, Any], wanted: CallbackFilter) -> bool:
    return (
        (not wanted.sites or row["site"] in wanted.sites)
        and (not wanted.statuses or row["status"] in wanted.statuses)
        and wanted.client_phone in (None, row["client_phone"])
        and (wanted.since is None or row["created_at"] >= wanted.since)
        and (wanted.before is None or row["created_at"] < wanted.before)
    )


@pytest.mark.parametrize("few", [0, 10**9], ids=["along the ids", "by an index"])
async def test_a_filter_leaves_what_it_says_newest_first(
    outbox: InspectableOutbox, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SORT_LIMIT", few)
    made = list(rows(120))
    made[40]["created_at"] = NOW - timedelta(days=1)  # the clock was set back meanwhile
    made[41]["client_phone"] = None  # erased
    write(outbox, *made)
    for name, wanted in WANTED.items():
        fitting = [row["id"] for row in made if fits(row, wanted)]
        assert await read(outbox, wanted, 7) == sorted(fitting, reverse=True), name


async def test_attempts_come_with_their_callback_in_their_order(outbox: InspectableOutbox) -> None:
    one, other = rows(2)
    write(outbox, one, other)
    tries = [(one["id"], 2, "placed"), (one["id"], 1, "not_sent"), (other["id"], 1, None)]
    with outbox.database.writing.begin() as connection:
        for callback_id, number, outcome in tries:
            attempt = {"callback_id": callback_id, "number": number, "outcome": outcome, "started_at": NOW}
            connection.execute(insert(attempts).values(attempt))
    newest, oldest = await outbox.list_callbacks(CallbackFilter(), None, 10)
    assert [attempt["outcome"] for attempt in newest.attempts] == [None]
    assert [attempt["outcome"] for attempt in oldest.attempts] == ["not_sent", "placed"]
    found = await outbox.get(one["id"])
    assert found is not None
    assert (found.callback, found.attempts) == (oldest.callback, oldest.attempts)


async def test_an_id_that_a_stranger_was_given_leads_to_the_callback_that_stands(outbox: InspectableOutbox) -> None:
    (made,) = rows(1)
    write(outbox, made)
    alias = {"scope": ALIAS, "key": "alias-id", "fingerprint": "", "callback_id": made["id"], "answer": {}}
    with outbox.database.writing.begin() as connection:
        connection.execute(insert(request_keys).values(alias | {"created_at": NOW}))
    found = await outbox.get("alias-id")
    assert found is not None
    assert found.callback["id"] == made["id"]
    assert await outbox.get("nobody's") is None


async def test_nothing_personal_is_shown_by_accident(outbox: InspectableOutbox) -> None:
    write(outbox, *rows(1))
    (found,) = await outbox.list_callbacks(CallbackFilter(client_phone=None), None, 1)
    assert "7916" not in repr(found) + repr(CallbackFilter(client_phone=PHONES[0]))
    assert not found.callback.keys() & {"lease_token", "client_bucket", "account"}


async def test_a_clock_that_is_set_back_between_pages_changes_nothing(outbox: InspectableOutbox) -> None:
    made = list(rows(30))
    write(outbox, *made)
    ids: list[str] = []
    while page := await outbox.list_callbacks(CallbackFilter(), ids[-1] if ids else None, 10):
        ids += [stored.callback["id"] for stored in page]
        moved = callbacks.c.id.in_(ids)
        with outbox.database.writing.begin() as connection:
            connection.execute(update(callbacks).where(moved).values(created_at=NOW - timedelta(days=2)))
    assert ids == sorted((row["id"] for row in made), reverse=True)
