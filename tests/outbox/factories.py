"""Factories for callbacks as `intake` builds them, and an outbox whose tables a test can inspect."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import Any

from limits import parse_many
from sqlalchemy import Executable, insert, update

from app.admission.admission_request import AdmissionConfig, AdmissionRequest, Decision, Quotas
from app.admission.batch import admit_batch
from app.errors import ServiceError
from app.intake.build_callback import new_id
from app.net.client_address import buckets, client_network
from app.outbox import (
    blocklist_store,
    claims,
    operator_actions,
    public_status,
    queries,
    queue_stats,
    resends,
    retention,
    widget_release_store,
)
from app.outbox.callback import CLIENT_BUCKETS, AcceptResult, Callback, RequestKey, Status
from app.outbox.database import Database
from app.outbox.outbox import Outbox
from app.outbox.phone_callbacks import PhoneCap, Wish
from app.outbox.rings import Limits, Ring, limits_of
from app.outbox.schema import attempts, callbacks
from app.outbox.transitions import OPERATOR, NewCallback, insert_callbacks

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def limits(text: str) -> Limits:
    """Return limits as the settings have them, such as "3/hour;5/day"."""
    return limits_of(parse_many(text))


MANY = limits("1000/hour")


class InspectableOutbox(Outbox):
    """An outbox with a method for each function that the service passes to it.

    A test also reads and changes its tables directly, bypassing all rules.
    """

    def __init__(self, database: Database, **options: float) -> None:
        super().__init__(database, **options)
        self.database = database
        self._batches: dict[int, partial[list[Decision]]] = {}

    def execute(self, statement: Executable, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """Execute a statement in a transaction of its own, once for each of the rows if there are any."""
        with self.database.writing.begin() as connection:
            connection.execute(statement, [dict(row) for row in rows] or None)

    def scalars(self, query: Executable) -> list[Any]:
        """Return the first column of all rows that a query finds."""
        with self.database.reading.begin() as connection:
            return list(connection.scalars(query))

    async def waiting(self) -> int:
        return await self.read(queue_stats.waiting)

    async def queue_stats(self) -> dict[Status, queue_stats.QueueDepth]:
        return await self.read(queue_stats.queue_stats)

    async def check(self) -> None:
        await self.write(queue_stats.check_writable, isolated=True)

    async def callback_status(self, callback_id: str) -> public_status.CallbackStatus | None:
        return await self.read(partial(public_status.callback_status, callback_id=callback_id))

    async def public_status(self, callback_id: str, now: datetime) -> public_status.PublicStatus | None:
        return await self.read(partial(public_status.public_status, callback_id=callback_id, now=now))

    async def get(self, callback_id: str) -> queries.CallbackRecord | None:
        return await self.read(partial(queries.get, callback_id=callback_id))

    async def list_callbacks(
        self, filters: queries.CallbackFilter, before_id: str | None, limit: int
    ) -> list[queries.CallbackRecord]:
        return await self.read(partial(queries.list_callbacks, filters=filters, before_id=before_id, limit=limit))

    async def blocklist(self) -> list[blocklist_store.Entry]:
        return await self.read(blocklist_store.entries)

    async def block(self, entry: str, note: str | None, now: datetime) -> datetime:
        return await self.change_blocklist(partial(blocklist_store.add, entry=entry, note=note, now=now))

    async def unblock(self, entry: str) -> bool:
        return await self.change_blocklist(partial(blocklist_store.remove, entry=entry))

    async def claim_due(self, now: datetime, **terms: Any) -> list[claims.Claim]:
        return await self.write(partial(claims.claim_due, now=now, **{"token": str(uuid.uuid4())} | terms))

    async def finish_attempt(
        self, claim: claims.Claim, result: claims.AttemptOutcome, now: datetime, cap: PhoneCap
    ) -> bool | datetime:
        finish = partial(resends.finish, claim=claim, result=result, now=now, cap=cap)
        return await self.write(finish, isolated=resends.is_resend(result))

    async def cancel(self, callback_id: str, now: datetime, actor: str = OPERATOR) -> None:
        await self.write(partial(operator_actions.cancel, callback_id=callback_id, now=now, actor=actor))

    async def orphaned(self, now: datetime) -> list[claims.Claim]:
        return await self.read(partial(claims.orphaned, now=None if self.is_exclusive else now))

    async def expire(self, now: datetime) -> list[str]:
        return await self.write(partial(claims.expire, now=now))

    async def hold_unknown(self, now: datetime, holds: Callable[[str], bool]) -> list[str]:
        return await self.write(partial(claims.hold_unknown, now=now, holds=holds))

    async def erase(self, now: datetime, keep: timedelta = timedelta(0)) -> int:
        return await retention.erase(self, now, keep)

    async def save_release(self, version: str, bodies: Mapping[str, bytes], now: datetime) -> None:
        await self.write(partial(widget_release_store.save, version=version, bodies=bodies, now=now))

    async def release_versions(self) -> frozenset[str]:
        return await self.read(widget_release_store.release_versions)

    async def load_release(self, version: str) -> dict[str, bytes]:
        return await self.read(partial(widget_release_store.load, version=version))

    async def admit(
        self, request: Callback, key: RequestKey | None = None, config: AdmissionConfig | None = None, **more: Any
    ) -> AcceptResult:
        """Admit a request like the conductor, and return the answer. Raises the ServiceError of a refusal.

        `more` are further fields of the AdmissionRequest. Requests with the same config share a batch.
        """
        config = config or CONFIG
        batch = self._batches.setdefault(id(config), partial(admit_batch, config=config))
        decision = await self.write_batched(batch, AdmissionRequest(request, key, **more))
        if isinstance(decision.answer, ServiceError):
            raise decision.answer
        return decision.answer


def callback(**changes: Any) -> Callback:
    """Return a callback requested at `NOW`, with the given changes.

    It rings at once, at its planned time, or when it is expected.
    """
    created_at = changes.get("created_at", NOW)
    rings_at = changes.get("rings_at") or changes.get("call_expected_at") or changes.get("planned_time") or created_at
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
        "client_bucket": None if changes.get("api_key") else "203.0.113.7",
        "created_at": created_at,
        "due_at": created_at,
        "give_up_at": created_at + timedelta(hours=2),
        "call_expected_at": rings_at,
        "rings_at": rings_at,
        "rings_until": rings_at,
    }
    return Callback(**values | changes)


def from_address(address: str, **changes: Any) -> Callback:
    """Return a callback of a visitor at an address, with the networks that the edge and intake find for it."""
    found = [bucket.key for bucket in buckets(ip_address(address))]
    networks = dict(zip(CLIENT_BUCKETS, found, strict=False)) | {"client_network": client_network(found[-1])}
    return callback(client_ip=address, **networks | changes)


def distinct(number: int, **changes: Any) -> Callback:
    """Return a callback of a phone and an address that differ for each number."""
    address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
    return from_address(address, **{"client_phone": f"7916{number:07}"} | changes)


def new_callback(request: Callback, status: Status = Status.QUEUED, **columns: Any) -> NewCallback:
    """Return the row of a callback with a status, and with the given columns."""
    values = request.columns() | ({} if status is Status.QUEUED else {"due_at": None})
    if status is Status.HELD:
        values |= {"rings_at": None, "rings_until": None}
    return NewCallback(values | columns, status, request.held_for)


async def store(outbox: Outbox, *requests: Callback, status: Status = Status.QUEUED, **columns: Any) -> list[str]:
    """Insert callbacks with their history, bypassing admission; return their ids."""
    rows = [new_callback(request, status, **columns) for request in requests]
    await outbox.write(partial(insert_callbacks, new=rows))
    return [request.id for request in requests]


async def store_sent(
    outbox: InspectableOutbox,
    request: Callback,
    status: Status = Status.PLACED,
    outcome: str | None = "placed",
    **columns: Any,
) -> str:
    """Insert a callback with one attempt, made when it was requested, and return its id; it rang at its ring time."""
    await store(outbox, request)
    update_columns(outbox, request.id, **{"status": status, "due_at": None, "updated_at": request.created_at} | columns)
    attempt = {"callback_id": request.id, "number": 1, "started_at": request.created_at, "outcome": outcome}
    rings = {"rings_at": request.rings_at, "rings_until": request.rings_until}
    outbox.execute(insert(attempts).values(attempt | rings))
    return request.id


async def hold(outbox: Outbox, reason: str = "honeypot", **changes: Any) -> str:
    """Insert a held callback, bypassing admission; return its id."""
    (held,) = await store(outbox, callback(held_for=reason, **changes), status=Status.HELD)
    return held


def update_columns(outbox: InspectableOutbox, callback_id: str, **columns: Any) -> None:
    """Update the columns of a callback, bypassing all rules."""
    outbox.execute(update(callbacks).where(callbacks.c.id == callback_id).values(columns))


def mark_placed(outbox: InspectableOutbox, callback_id: str) -> None:
    """Mark a callback as placed at Chaser."""
    update_columns(outbox, callback_id, status="placed", due_at=None)


def at_its_time(wish: Wish, now: datetime) -> Ring:
    """Return the ring of a callback that rings at once or at its planned time, without regard to working hours."""
    at = max(wish.planned_time or now, now)
    return Ring(at, at)


def admission_config(quotas: Quotas | None = None, **changes: Any) -> AdmissionConfig:
    """Return a config with a duplicate window of a minute and quotas that no test reaches."""
    by_site = defaultdict(lambda: quotas or Quotas(MANY, MANY, MANY, MANY))
    values: dict[str, Any] = {
        "duplicate_window": timedelta(minutes=1),
        "per_phone": MANY,
        "quotas": by_site,
        "ring_time": at_its_time,
    }
    return AdmissionConfig(**values | changes)


CONFIG = admission_config()
CAP = PhoneCap(MANY, at_its_time)
"""A cap that no test reaches."""
