"""Archives of callbacks for tests: rows as the service would have left them, in every table."""

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select

from app.outbox.schema import (
    attempts,
    blocklist,
    callbacks,
    metadata,
    request_keys,
    status_history,
    used_challenges,
    widget_files,
    writers,
)
from tests.outbox.factories import NOW

SITE = "archive"
_PAGE = "https://shop.example/~каталог/?q=я+ты%20[1]&n="


def fill(connection: Connection, count: int) -> None:
    """Insert `count` placed callbacks, each with an attempt and a request key, and one row in each other table."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    at = [NOW - timedelta(days=1, seconds=n, microseconds=n) for n in range(count)]
    rows = [
        {
            "id": ids[n],
            "site": SITE,
            "account": "4711",
            "chaser_site_id": 12345,
            "status": "placed",
            "client_phone": f"7{9_000_000_000 + n}" if n % 7 else None,  # some are erased
            "active_page": f"{_PAGE}{n}",
            "consent": {"version": "1", "a": [n, "я"]} if n % 3 else None,
            "phone_certain": bool(n % 2),
            "created_at": at[n],
            "give_up_at": at[n] + timedelta(hours=2),
            "updated_at": at[n],
        }
        for n in range(count)
    ]
    attempt_rows = [
        {"callback_id": ids[n], "number": 1, "started_at": at[n], "outcome": "placed", "answer": f"'{n}' 📞\n"}
        for n in range(count)
    ]
    changes = [
        {
            "callback_id": ids[n],
            "site": SITE,
            "sequence": 1,
            "to_status": "queued",
            "actor": "visitor",
            "created_at": at[n],
        }
        for n in range(count)
    ]
    keys = [
        {
            # Databases sort these differently.
            "scope": f"{'aÄ-Z_я '[n % 7]}:{n % 3}",
            "key": f"{'Bb_-'[n % 4]}{ids[n]}",
            "fingerprint": "f" * 64,
            "callback_id": ids[n],
            "created_at": at[n],
            "answer": {"id": ids[n], "status": "queued"},
        }
        for n in range(count)
    ]
    connection.execute(callbacks.insert(), rows)
    connection.execute(attempts.insert(), attempt_rows)
    connection.execute(status_history.insert(), changes)
    connection.execute(request_keys.insert(), keys)
    nonce = uuid.uuid4().hex
    connection.execute(used_challenges.insert(), {"nonce": nonce, "callback_id": ids[0], "expires_at": NOW})
    connection.execute(blocklist.insert(), {"entry": str(count), "note": None, "created_at": NOW})
    body = bytes(range(256))
    connection.execute(widget_files.insert(), {"version": nonce[:12], "name": "w.js", "body": body, "kept_at": NOW})


def contents(connection: Connection) -> dict[str, list[Any]]:
    """Return all rows that a copy takes along, in the order of the database; `in_order` makes two comparable."""
    copied = [table for table in metadata.sorted_tables if table is not writers]
    return {table.name: list(connection.execute(select(table)).all()) for table in copied}


def in_order(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Sort the rows of each table. Call it outside of a transaction: PostgreSQL would end one that idles meanwhile."""
    return {table: sorted(map(tuple, some), key=repr) for table, some in rows.items()}
