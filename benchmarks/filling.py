"""Fill databases with a million placed callbacks, or a hundred thousand queued ones."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import Table
from sqlalchemy.engine import make_url

from app.outbox.outbox import Outbox
from app.outbox.schema import attempts, callbacks, request_keys, status_history
from benchmarks.ours import SITE_NAMES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RETENTION = timedelta(days=90)
_BATCH = 20_000
Row = dict[str, Any]


def make_tables(database: str) -> None:
    """Migrate a database, as the service does at its start."""
    Outbox.open(database).close()


def fill(database: str, *, placed: int = 0, waiting: int = 0) -> None:
    """Insert callbacks as after 90 days of use, or as during an outage of Chaser.

    Each placed callback has an attempt, an idempotency key and its status history, and was requested in the last 90
    days. The waiting ones are queued and due.
    """
    make_tables(database)
    now = datetime.now(UTC)
    interval = _RETENTION / max(1, placed)
    for start in range(0, placed, _BATCH):
        batch = range(start, min(start + _BATCH, placed))
        rows = [_callback(number, now - _RETENTION + number * interval, "placed") for number in batch]
        _write(database, callbacks, rows)
        _write(database, attempts, [_attempt(row) for row in rows])
        _write(database, request_keys, [_key(row) for row in rows])
        _write(database, status_history, [change for row in rows for change in _changes(row)])
    for start in range(placed, placed + waiting, _BATCH):
        batch = range(start, min(start + _BATCH, placed + waiting))
        _write(database, callbacks, [_callback(number, now - timedelta(minutes=5), "queued") for number in batch])
    if not database.startswith("sqlite"):
        with psycopg.connect(_libpq_url(database), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")  # autovacuum would do it within minutes


def postpone(database: str) -> None:
    """Make every waiting callback due in 15 minutes, so that no single request queues behind it.

    Not later: the service sends a callback that is due after the longest retry delay at once, as after a clock jump.
    """
    later = datetime.now(UTC) + timedelta(minutes=15)
    if database.startswith("sqlite"):
        with sqlite3.connect(str(make_url(database).database)) as sqlite:
            sqlite.execute("UPDATE callbacks SET due_at = ? WHERE due_at IS NOT NULL", [_microseconds(later)])
        sqlite.close()
    else:
        with psycopg.connect(_libpq_url(database)) as connection:
            connection.execute("UPDATE callbacks SET due_at = %s WHERE due_at IS NOT NULL", [later])


def _callback(number: int, created_at: datetime, status: str) -> Row:
    is_queued = status == "queued"
    return {
        "id": f"{number:08x}-0000-7000-8000-{number:012x}",
        "site": SITE_NAMES[number % len(SITE_NAMES)],
        "account": "4711",
        "chaser_site_id": number % len(SITE_NAMES) + 1,
        "status": status,
        # Other numbers than the load sends; the factor spreads them over the index.
        "client_phone": f"7903{number * 7919 % 10_000_000:07d}",
        "client_ip": f"198.{18 + (number >> 16) % 2}.{(number >> 8) % 256}.{number % 256}",
        "active_page": "https://shop.example/catalog?utm_source=letter",
        "referrer": "https://search.example/",
        "client_bucket": f"198.{18 + (number >> 16) % 2}.{(number >> 8) % 256}.{number % 256}",
        "client_network": f"198.{18 + (number >> 16) % 2}.{(number >> 8) % 256}.0/24",
        "phone_certain": True,
        "created_at": created_at,
        "due_at": created_at if is_queued else None,
        "give_up_at": created_at + timedelta(hours=2),
        "call_expected_at": created_at,
        "rings_at": created_at,
        "rings_until": created_at,
        "updated_at": created_at,
        "status_sequence": 1 if is_queued else 3,
    }


def _attempt(callback: Row) -> Row:
    return {
        "callback_id": callback["id"],
        "number": 1,
        "started_at": callback["created_at"],
        "rings_at": callback["created_at"],
        "rings_until": callback["created_at"],
        "outcome": "placed",
        "http_status": 200,
        "duration_ms": 300,
        "answer": '{"status":"ok"}',
    }


def _key(callback: Row) -> Row:
    answer = {"id": callback["id"], "status": "queued", "created_at": callback["created_at"].isoformat()}
    return {
        "scope": "key:benchmark",
        "key": f"stored-{callback['id']}",
        "fingerprint": callback["id"].replace("-", "") * 2,
        "callback_id": callback["id"],
        "created_at": callback["created_at"],
        "answer": json.dumps(answer | {"call_expected_at": answer["created_at"], "duplicate": False}),
    }


def _changes(callback: Row) -> Iterator[Row]:
    moves = (None, "queued", "visitor"), ("queued", "sending", "system"), ("sending", "placed", "system")
    for sequence, (from_, to, actor) in enumerate(moves, 1):
        yield {
            "callback_id": callback["id"],
            "site": callback["site"],
            "sequence": sequence,
            "from_status": from_,
            "to_status": to,
            "actor": actor,
            "created_at": callback["created_at"],
        }


def _write(database: str, table: Table, rows: list[Row]) -> None:
    """Insert rows without the service, by the fastest method of each database."""
    names = list(rows[0])
    if database.startswith("sqlite"):
        statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608
        with sqlite3.connect(str(make_url(database).database)) as sqlite:
            sqlite.executemany(statement, _for_sqlite(rows))
        sqlite.close()
        return
    into = f"COPY {table.name} ({', '.join(names)}) FROM STDIN"
    with psycopg.connect(_libpq_url(database)) as connection, connection.cursor().copy(into) as copy:
        for row in rows:
            copy.write_row(list(row.values()))


def _for_sqlite(rows: list[Row]) -> Iterator[list[Any]]:
    for row in rows:
        yield [_microseconds(value) if isinstance(value, datetime) else value for value in row.values()]


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _libpq_url(database: str) -> str:
    return make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
