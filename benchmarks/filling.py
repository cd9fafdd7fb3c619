"""Databases with a past: a million callbacks that were delivered, or a hundred thousand that wait."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import Table
from sqlalchemy.engine import make_url

from app.outbox.outbox import Outbox
from app.outbox.schema import attempts, callbacks, request_keys
from benchmarks.ours import SITE_NAMES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT_FOR = timedelta(days=90)
_BATCH = 20_000
Row = dict[str, Any]


def make_tables(database: str) -> None:
    """Bring a database up to date, as the service does at its start."""
    Outbox.open(database).close()


def fill(database: str, *, delivered: int = 0, waiting: int = 0) -> None:
    """Write callbacks down, as they would be after some weeks, or in an hour with Chaser away.

    Each delivered one has its attempt and its request key, and was asked for in the last 90 days; what waits is due.
    """
    make_tables(database)
    now = datetime.now(UTC)
    every = _KEPT_FOR / max(1, delivered)
    for number in range(0, delivered, _BATCH):
        some = range(number, min(number + _BATCH, delivered))
        rows = [_callback(one, now - _KEPT_FOR + one * every, "placed") for one in some]
        _write(database, callbacks, rows)
        _write(database, attempts, [_attempt(row) for row in rows])
        _write(database, request_keys, [_key(row) for row in rows])
    for number in range(delivered, delivered + waiting, _BATCH):
        some = range(number, min(number + _BATCH, delivered + waiting))
        _write(database, callbacks, [_callback(one, now - timedelta(minutes=5), "queued") for one in some])
    if not database.startswith("sqlite"):
        with psycopg.connect(_plain(database), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")  # autovacuum does it within minutes


def put_off(database: str) -> None:
    """Let what waits be due in a quarter of an hour, so that it stands before nobody.

    Not tomorrow: what lies further ahead than any retry, the service takes for due, its clock having been set back.
    """
    later = datetime.now(UTC) + timedelta(minutes=15)
    if database.startswith("sqlite"):
        with sqlite3.connect(str(make_url(database).database)) as sqlite:
            sqlite.execute("UPDATE callbacks SET due_at = ? WHERE due_at IS NOT NULL", [_microseconds(later)])
        sqlite.close()
    else:
        with psycopg.connect(_plain(database)) as connection:
            connection.execute("UPDATE callbacks SET due_at = %s WHERE due_at IS NOT NULL", [later])


def _callback(number: int, created_at: datetime, status: str) -> Row:
    waits = status == "queued"
    return {
        "id": f"{number:08x}-0000-7000-8000-{number:012x}",
        "site": SITE_NAMES[number % len(SITE_NAMES)],
        "account": "4711",
        "chaser_site_id": number % len(SITE_NAMES) + 1,
        "status": status,
        # Not the numbers that the load sends; the factor scatters them over the index.
        "client_phone": f"7903{number * 7919 % 10_000_000:07d}",
        "client_ip": f"198.{18 + (number >> 16) % 2}.{(number >> 8) % 256}.{number % 256}",
        "active_page": "https://shop.example/catalog?utm_source=letter",
        "referrer": "https://search.example/",
        "client_bucket": f"198.{18 + (number >> 16) % 2}.{(number >> 8) % 256}.{number % 256}",
        "phone_certain": True,
        "created_at": created_at,
        "due_at": created_at if waits else None,
        "give_up_at": created_at + timedelta(hours=2),
        "call_expected_at": created_at,
        "updated_at": created_at,
    }


def _attempt(callback: Row) -> Row:
    return {
        "callback_id": callback["id"],
        "number": 1,
        "started_at": callback["created_at"],
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


def _write(database: str, table: Table, rows: list[Row]) -> None:
    """Write rows past the service, by the fastest way each database has."""
    names = list(rows[0])
    if database.startswith("sqlite"):
        statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608
        with sqlite3.connect(str(make_url(database).database)) as sqlite:
            sqlite.executemany(statement, _for_sqlite(rows))
        sqlite.close()
        return
    into = f"COPY {table.name} ({', '.join(names)}) FROM STDIN"
    with psycopg.connect(_plain(database)) as connection, connection.cursor().copy(into) as copy:
        for row in rows:
            copy.write_row(list(row.values()))


def _for_sqlite(rows: list[Row]) -> Iterator[list[Any]]:
    for row in rows:
        yield [_microseconds(value) if isinstance(value, datetime) else value for value in row.values()]


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _plain(database: str) -> str:
    return make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
