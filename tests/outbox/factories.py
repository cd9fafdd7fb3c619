"""Factories for callbacks as `intake` builds them, and an outbox whose tables a test can inspect."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from limits import parse_many
from sqlalchemy import Executable, update

from app.intake.build_callback import new_id
from app.net.client_address import buckets
from app.outbox.accepting import AdmissionConfig
from app.outbox.callback import Callback
from app.outbox.database import Database
from app.outbox.outbox import Outbox
from app.outbox.quotas import Quotas
from app.outbox.schema import callbacks

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
_MANY = tuple(parse_many("1000/hour"))


class InspectableOutbox(Outbox):
    """An outbox whose tables a test reads and changes directly, bypassing all rules."""

    def __init__(self, database: Database, **limits: float) -> None:
        super().__init__(database, **limits)
        self.database = database

    def execute(self, statement: Executable, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """Execute a statement in a transaction of its own, once for each of the rows if there are any."""
        with self.database.writing.begin() as connection:
            connection.execute(statement, [dict(row) for row in rows] or None)

    def scalars(self, query: Executable) -> list[Any]:
        """Return the first column of all rows that a query finds."""
        with self.database.reading.begin() as connection:
            return list(connection.scalars(query))


def callback(**changes: Any) -> Callback:
    """Return a callback requested at `NOW`, with the given changes."""
    created_at = changes.get("created_at", NOW)
    values: dict[str, Any] = {
        "id": new_id(created_at),
        "site": "shop",
        "account": "4711",
        "chaser_site_id": 12345,
        "client_phone": "79161234567",
        "phone_certain": True,
        "manager_phone": None,
        "planned_time": None,
        "active_page": "https://shop.example/",
        "client_ip": "203.0.113.7",
        "message_on_ring": None,
        "nwt_action": None,
        "call_stack_start_hour": None,
        "call_stack_interval": None,
        "referrer": None,
        "department": None,
        "consent": {"version": "1"},
        "api_key": None,
        "client_bucket": "203.0.113.7",
        "created_at": created_at,
        "due_at": created_at,
        "give_up_at": created_at + timedelta(hours=2),
        "call_expected_at": created_at,
    }
    values |= changes
    # Like a call for which a time is promised: the outbox does not ask when the site is open.
    rings_at = values["call_expected_at"] or created_at
    return Callback(**{"rings_at": rings_at, "rings_until": rings_at} | values)


def from_address(address: str, **changes: Any) -> Callback:
    """Return a callback of a visitor at an address, with the buckets that the edge counts them by."""
    names = ("client_bucket", "client_bucket_56", "client_bucket_48")
    keys = {name: bucket.key for name, bucket in zip(names, buckets(ip_address(address)), strict=False)}
    return callback(client_ip=address, **keys | changes)


def update_columns(outbox: InspectableOutbox, callback_id: str, **columns: Any) -> None:
    """Update the columns of a callback, bypassing all rules."""
    outbox.execute(update(callbacks).where(callbacks.c.id == callback_id).values(columns))


def mark_placed(outbox: InspectableOutbox, callback_id: str) -> None:
    """Mark a callback as placed at Chaser."""
    update_columns(outbox, callback_id, status="placed", due_at=None)


def rules(quotas: Quotas | None = None) -> AdmissionConfig:
    """Return a config with a duplicate window of two minutes and quotas that no test reaches."""
    return AdmissionConfig(timedelta(minutes=2), quotas or Quotas(_MANY, _MANY, _MANY, _MANY))
