"""A database of version 0.1.0 with a full queue is migrated: nothing is lost, and nothing rings twice."""

from contextlib import closing
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select, text

from app.outbox.database import Database, open_database
from app.outbox.migrate import migrate
from app.outbox.schema import attempts, callbacks
from tests.outbox.queue_of_0_1 import LATER, NOW, TOMORROW, Queue

STATUSES = {
    "queued": ("queued", None),
    "retry wait": ("queued", "not_sent"),
    "sending": ("sending", None),
    "planned": ("queued", None),
    "hours unknown": ("queued", None),
    "held honeypot": ("held", "honeypot"),
    "held network": ("held", "suspicious_network"),
    "held planned": ("held", "honeypot"),
    "placed": ("placed", None),
    "placed for tomorrow": ("placed", None),
    "resend due": ("unknown", "ReadTimeout"),
    "unknown": ("unknown", "awaiting_operator"),
    "failed": ("failed", "expired"),
    "cancelled": ("cancelled", "cancelled"),
    "erased": ("placed", None),
    "of a key": ("queued", None),
    "of ipv6": ("queued", None),
}
RINGS_TOMORROW = {"planned", "placed for tomorrow"}


def stored(connection: Connection, names: dict[str, str]) -> dict[str, Any]:
    """Return the rows of callbacks by their names."""
    rows = {row.id: row for row in connection.execute(select(callbacks))}
    return {name: rows[callback_id] for name, callback_id in names.items()}


def test_every_callback_is_there_with_its_status(connection: Connection, queue: Queue) -> None:
    rows = stored(connection, queue.ids)
    assert {name: (row.status, row.reason) for name, row in rows.items()} == STATUSES


def test_all_other_columns_are_unchanged(database_url: str, queue: Queue) -> None:
    with closing(open_database(database_url)) as database:
        before = contents(database)
        migrate(database.writing)
        after = contents(database)
    assert before.keys() == set(queue.ids.values())
    for callback_id, row in before.items():
        kept = {name: value for name, value in row.items() if name not in ("status", "reason", "ready_at")}
        assert after[callback_id].items() >= kept.items()


def contents(database: Database) -> dict[str, dict[str, Any]]:
    """Return the rows of all callbacks, as the database holds them."""
    with database.reading.connect() as connection:
        rows = connection.execute(text("SELECT * FROM callbacks")).mappings()
        return {row["id"]: dict(row) for row in rows}


def test_exactly_those_are_due_that_were_due(connection: Connection, queue: Queue) -> None:
    due = connection.execute(select(callbacks.c.id).where(callbacks.c.due_at.is_not(None))).scalars().all()
    assert sorted(due) == sorted(queue.due)
    rows = stored(connection, queue.ids)
    assert rows["resend due"].due_at == rows["retry wait"].due_at == LATER
    assert (rows["sending"].lease_token, rows["sending"].lease_until) == ("a" * 36, LATER)


def test_each_callback_rings_when_it_was_planned_or_expected(connection: Connection, queue: Queue) -> None:
    for name, row in stored(connection, queue.ids).items():
        expected = None if row.status == "held" else TOMORROW if name in RINGS_TOMORROW else NOW
        assert (name, row.rings_at, row.rings_until) == (name, expected, expected)


def test_held_callbacks_count_in_the_budget_of_their_reason(connection: Connection, queue: Queue) -> None:
    rows = stored(connection, queue.ids)
    assert {name: row.held_for for name, row in rows.items() if row.held_for is not None} == {
        "held honeypot": "honeypot",
        "held network": "suspicious_network",
        "held planned": "honeypot",
    }


def test_visitors_count_in_their_network(connection: Connection, queue: Queue) -> None:
    rows = stored(connection, queue.ids)
    assert {name: rows[name].client_network for name in ("queued", "of ipv6", "of a key", "erased")} == {
        "queued": "203.0.113.0/24",
        "of ipv6": "2001:db8:7::/48",
        "of a key": None,
        "erased": None,
    }


def test_attempts_that_may_have_rung_count_at_their_time(connection: Connection, queue: Queue) -> None:
    names = {callback_id: name for name, callback_id in queue.ids.items()}
    found = connection.execute(select(attempts)).all()
    rings = {(names[row.callback_id], row.number): row.rings_at for row in found}
    first, second = (NOW + timedelta(seconds=number) for number in (1, 2))
    assert rings == {
        ("retry wait", 1): None,
        ("sending", 1): first,
        ("placed", 1): None,
        ("placed", 2): second,
        ("placed for tomorrow", 1): TOMORROW,
        ("resend due", 1): first,
        ("unknown", 1): first,
        ("failed", 1): None,
        ("erased", 1): first,
    }
    assert all(row.rings_until == row.rings_at for row in found)
