"""A full queue as version 0.1.0 left it: every status, every reason to hold, aliases and request keys."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import JSON, Connection, Engine, Text, column, insert, table, text

import app.outbox.migrations
from app.intake.build_callback import new_id
from app.outbox.database import open_database
from app.outbox.schema import Instant

REVISION = "0008"
NOW = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=1)
LATER = NOW + timedelta(minutes=3, microseconds=7)
IPV6 = {
    "client_bucket": "2001:db8:7:1::/64",
    "client_bucket_56": "2001:db8:7::/56",
    "client_bucket_48": "2001:db8:7::/48",
}
ERASED = {"client_phone": None, "client_ip": None, "client_bucket": None, "consent": None, "active_page": None}


def _table(name: str, texts: str, instants: str, **others: Any) -> Any:
    return table(
        name,
        *(column(each) for each in texts.split()),
        *(column(each, Instant()) for each in instants.split()),
        *(column(each, type_) for each, type_ in others.items()),
    )


_CALLBACKS = _table(
    "callbacks",
    "id site account chaser_site_id status client_phone client_ip active_page phone_certain manager_phone "
    "message_on_ring nwt_action department api_key reason lease_token client_bucket client_bucket_56 client_bucket_48",
    "planned_time created_at due_at give_up_at call_expected_at updated_at lease_until",
    consent=JSON(none_as_null=True),
)
_ATTEMPTS = _table("attempts", "callback_id number outcome http_status", "started_at", answer=Text)
_KEYS = _table(
    "request_keys",
    "scope key fingerprint callback_id client_bucket client_bucket_56 client_bucket_48",
    "created_at call_expected_at",
    answer=JSON,
)


@dataclass
class Queue:
    """The ids of the callbacks by name, of the aliases by name, and the ids of the due ones."""

    ids: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    due: set[str] = field(default_factory=set)


def upgrade(engine: Engine, revision: str) -> None:
    """Migrate a database up to a revision."""
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(app.outbox.migrations.__path__)))))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def make_queue(url: str) -> Queue:
    """Create a database of version 0.1.0 with a full queue."""
    queue = Queue()
    with closing(open_database(url)) as database:
        upgrade(database.writing, REVISION)
        with database.writing.begin() as connection:
            without_idle_timeout(connection)
            for name, changes in _callbacks().items():
                queue.ids[name] = _insert_callback(connection, **{"client_phone": phone_of(name)} | changes)
                if changes.get("due_at", NOW) is not None:
                    queue.due.add(queue.ids[name])
            _insert_attempts(connection, queue)
            for name, original, changes in _aliases():
                queue.aliases[name] = _insert_alias(connection, queue.ids[original], **changes)
            _insert_keys(connection, queue)
    return queue


def without_idle_timeout(connection: Connection) -> None:
    """Disable the timeout of PostgreSQL: a busy machine may pause a test between two statements for seconds."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def phone_of(name: str) -> str:
    """Return the phone of a callback."""
    return f"7916000{list(_callbacks()).index(name):04}"


def _callbacks() -> dict[str, dict[str, Any]]:
    done: dict[str, Any] = {"due_at": None}
    return {
        "queued": {},
        "retry wait": {"due_at": LATER, "reason": "not_sent"},
        "sending": {"status": "sending", "lease_token": "a" * 36, "lease_until": LATER, **done},
        "planned": {"planned_time": TOMORROW, "call_expected_at": TOMORROW},
        "hours unknown": {"call_expected_at": None},
        "held honeypot": {"status": "held", "reason": "trap_filled", **done},
        "held network": {"status": "held", "reason": "number_and_network_doubtful", **done, **IPV6},
        "held planned": {"status": "held", "reason": "trap_filled", "planned_time": TOMORROW, **done},
        "placed": {"status": "delivered", **done},
        "placed for tomorrow": {
            "status": "delivered",
            "nwt_action": "always_call",
            "call_expected_at": TOMORROW,
            **done,
        },
        "resend due": {"status": "unknown", "due_at": LATER, "reason": "ReadTimeout"},
        "unknown": {"status": "unknown", "reason": "waits_for_a_person", **done},
        "failed": {"status": "failed", "reason": "too_old", **done},
        "cancelled": {"status": "cancelled", "reason": "cancelled", **done},
        "erased": {"status": "delivered", **done, **ERASED},
        "of a key": {
            "api_key": "crm",
            "client_bucket": None,
            "message_on_ring": "Lead 7",
            "manager_phone": "74950000002",
        },
        "of ipv6": {"client_ip": "2001:db8:7:1::9", **IPV6},
    }


def _aliases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the name of each alias, the name of its original, and its columns."""
    yield "first visitor", "queued", {"client_bucket": "198.51.100.23"}
    yield "second visitor", "queued", dict(IPV6)
    yield (
        "of tomorrow",
        "placed for tomorrow",
        {
            "client_bucket": "198.51.100.200",
            "call_expected_at": TOMORROW + timedelta(minutes=5),
            "expected_at": TOMORROW + timedelta(minutes=5),
        },
    )
    yield (
        "of the planned",
        "planned",
        {"client_bucket": "198.51.100.24", "expected_at": TOMORROW.replace(microsecond=0)},
    )
    yield "no time promised", "hours unknown", {"client_bucket": "198.51.100.25", "expected_at": None}
    yield "of the key's", "of a key", {"client_bucket": "198.51.100.26"}
    yield "of the placed", "placed", {"client_bucket": "198.51.100.27"}
    yield "of the erased", "erased", {"client_bucket": None}
    yield "of an early version", "failed", {"client_bucket": None}


def _insert_callback(connection: Connection, **changes: Any) -> str:
    values: dict[str, Any] = {
        "id": new_id(NOW),
        "site": "shop",
        "account": "4711",
        "chaser_site_id": 12345,
        "status": "queued",
        "client_ip": "203.0.113.7",
        "client_bucket": "203.0.113.7",
        "active_page": "https://shop.example/",
        "consent": {"version": "1"},
        "phone_certain": True,
        "created_at": NOW,
        "due_at": NOW,
        "give_up_at": NOW + timedelta(hours=2),
        "call_expected_at": NOW,
        "updated_at": NOW,
    }
    row = values | changes
    connection.execute(insert(_CALLBACKS).values(row))
    return str(row["id"])


def _insert_attempts(connection: Connection, queue: Queue) -> None:
    for name, outcomes in (
        ("retry wait", ["not_begun"]),
        ("sending", [None]),
        ("placed", ["account", "delivered"]),
        ("placed for tomorrow", ["delivered"]),
        ("resend due", ["unknown"]),
        ("unknown", ["unknown"]),
        ("failed", ["refused"]),
        ("erased", ["delivered"]),
    ):
        for number, outcome in enumerate(outcomes, start=1):
            attempt = {"callback_id": queue.ids[name], "number": number, "outcome": outcome}
            connection.execute(insert(_ATTEMPTS).values(**attempt, started_at=NOW + number * timedelta(seconds=1)))


def _insert_alias(connection: Connection, original: str, **changes: Any) -> str:
    alias = new_id(LATER)
    answer = _answer(alias, LATER, changes.pop("expected_at", NOW))
    key = {"scope": "alias", "key": alias, "fingerprint": "", "callback_id": original, "created_at": LATER}
    connection.execute(insert(_KEYS).values(key | changes | {"answer": answer}))
    return alias


def _insert_keys(connection: Connection, queue: Queue) -> None:
    """Insert keys of visitors and of an API key. Those of merged requests answer with the alias."""
    for scope, key, name, alias in (
        ("site:shop", "1", "queued", None),
        ("site:shop", "2", "queued", "first visitor"),
        ("site:shop", "3", "placed for tomorrow", "of tomorrow"),
        ("key:crm", "1", "of a key", None),
        ("key:crm", "2", "queued", None),
    ):
        answer = _answer(queue.aliases[alias] if alias else queue.ids[name], NOW, NOW)
        callback = {"callback_id": queue.ids[name], "client_bucket": "203.0.113.7" if alias is None else None}
        values = {"scope": scope, "key": key, "fingerprint": "f" * 64, "created_at": NOW, "answer": answer}
        connection.execute(insert(_KEYS).values(values | callback))


def _answer(id_: str, at: datetime, expected_at: datetime | None) -> dict[str, Any]:
    return {
        "id": id_,
        "status": "queued",
        "created_at": at.isoformat(),
        "call_expected_at": expected_at and expected_at.isoformat(),
        "duplicate": False,
    }
