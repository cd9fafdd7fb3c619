"""The values that the packages exchange: a callback, its status, and the result of accepting a request."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from app.errors import NotFoundError
from app.outbox.rings import Ring


class Status(StrEnum):
    """The status of a callback; see docs/lifecycle.md."""

    HELD = "held"
    QUEUED = "queued"
    SENDING = "sending"
    PLACED = "placed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    DUPLICATE = "duplicate"


ACTIVE_STATUSES: Final = (Status.QUEUED, Status.SENDING, Status.PLACED, Status.UNKNOWN)
"""A second request is a duplicate of a callback in one of these: the phone rings, has rung, or may have rung."""

CLIENT_BUCKETS: Final = ("client_bucket", "client_bucket_56", "client_bucket_48")
"""Columns by which a visitor is counted: an address or an IPv6 /64, and the wider networks around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One validated request to be phoned. All times are aware and in UTC.

    `account` is the `client_id` of the Chaser account, `chaser_site_id` the site's number there. `manager_given` and
    `message_given` are whether an API key sent the manager's phone and the message, rather than the settings.

    `client_bucket` is the network in which limits count a visitor, None for a request with an API key.
    `client_bucket_56` and `client_bucket_48` are the wider networks of an IPv6 visitor, `client_network` is the /24 or
    /48 that may use half of a site's budget.

    The phone rings at `rings_at`, or until `rings_until` where only Chaser knows the time. `call_expected_at` is the
    time that may be promised, None if none can be. `held_for` is the stable code of a reason to hold it until an
    operator decides. `again` is the id of a request after which no phone rang, as its visitor says.
    """

    id: str
    site: str
    account: str
    chaser_site_id: int
    client_phone: str
    phone_certain: bool
    manager_phone: str | None
    planned_time: datetime | None
    active_page: str | None
    client_ip: str
    message_on_ring: str | None
    nwt_action: str | None
    call_stack_start_hour: int | None
    call_stack_interval: int | None
    referrer: str | None
    department: str | None
    consent: dict[str, Any] | None
    api_key: str | None
    client_bucket: str | None
    created_at: datetime
    due_at: datetime
    give_up_at: datetime
    call_expected_at: datetime | None
    rings_at: datetime
    rings_until: datetime
    client_bucket_56: str | None = None
    client_bucket_48: str | None = None
    client_network: str | None = None
    manager_given: bool = False
    message_given: bool = False
    held_for: str | None = None
    again: str | None = None

    def __repr__(self) -> str:
        """Return a text without personal data: it may end up in a traceback."""
        return f"Callback(id={self.id!r}, site={self.site!r})"

    @property
    def ring(self) -> Ring:
        """When the phone rings."""
        return Ring(self.rings_at, self.rings_until, certain=self.call_expected_at is not None)

    @property
    def route(self) -> tuple[str, int]:
        """The account and the site's number at Chaser, by which the call is sent."""
        return self.account, self.chaser_site_id

    @property
    def given(self) -> tuple[str | None, str | None]:
        """The manager's phone and the message as an API key sent them: they distinguish two requests."""
        manager = self.manager_phone if self.manager_given else None
        return manager, self.message_on_ring if self.message_given else None

    def columns(self) -> dict[str, Any]:
        """Return the values to store, by the names of the columns."""
        return {name: getattr(self, name) for name in _COLUMNS}  # asdict() would copy what is in them


_COLUMNS: Final = tuple(one.name for one in fields(Callback) if one.name != "again")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An idempotency key within its scope, and the fingerprint of the request that it came with."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """The response to an accepted request. `duplicate`: an earlier callback covers it; `replayed`: sent before."""

    id: str
    status: str
    created_at: datetime
    call_expected_at: datetime | None
    duplicate: bool = False
    replayed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the response as it is stored for replays."""
        return {
            "id": self.id,
            "status": self.status,
            "created_at": self.created_at.isoformat(),
            "call_expected_at": self.call_expected_at and self.call_expected_at.isoformat(),
            "duplicate": self.duplicate,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "AcceptResult":
        """Return a stored response."""
        expected_at = stored["call_expected_at"]
        return cls(
            id=stored["id"],
            status=stored["status"],
            created_at=datetime.fromisoformat(stored["created_at"]),
            call_expected_at=expected_at and datetime.fromisoformat(expected_at),
            duplicate=stored["duplicate"],
        )


def callback_not_found() -> NotFoundError:
    """Return the error for an unknown id."""
    return NotFoundError("not_found", "There is no callback with this id.")
