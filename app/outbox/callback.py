"""The values that the packages exchange: a callback, its status, and the result of accepting a request."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from app.errors import NotFoundError


class Status(StrEnum):
    """The status of a callback; see docs/lifecycle.md."""

    HELD = "held"
    QUEUED = "queued"
    SENDING = "sending"
    PLACED = "placed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


ACTIVE_STATUSES: Final = (Status.QUEUED, Status.SENDING, Status.PLACED, Status.UNKNOWN)
"""A second request is a duplicate of a callback in one of these: the phone rings, has rung, or may have rung."""


CLIENT_BUCKETS: Final = ("client_bucket", "client_bucket_56", "client_bucket_48")
"""Columns by which a visitor is counted: an address or an IPv6 /64, and the wider networks around it."""

IDENTITY_FIELDS: Final = ("planned_time", "manager_phone", "department", "message_on_ring")
"""Fields that distinguish two requests for one phone: a difference in one of them makes two calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One validated request to be phoned. All times are aware and in UTC.

    `account` is the `client_id` of the Chaser account, `chaser_site_id` the site's number there. Quotas count a visitor
    by `client_bucket`; it is None for a request with an API key. `client_bucket_56` and `client_bucket_48` are the
    wider networks of an IPv6 visitor, None for all others. The phone may ring from `rings_at` to `rings_until`;
    `call_expected_at` is the promised time, None if none is promised: see `rings.Ring`. `hold` is the stable code of a
    reason to hold it until an operator decides; None queues it.
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
    hold: str | None = None

    def __repr__(self) -> str:
        """Return a text without personal data: it may end up in a traceback."""
        return f"Callback(id={self.id!r}, site={self.site!r})"


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


@dataclass(frozen=True, slots=True)
class CallbackStatus:
    """The status of a callback by its id. The caller decides whether its client may see it or `public_status`."""

    id: str
    site: str
    status: str
    call_expected_at: datetime | None


def public_status(status: str) -> str:
    """Return the status that a client without an API key sees: a bot must not learn that it was held."""
    return Status.QUEUED if status == Status.HELD else status


def callback_not_found() -> NotFoundError:
    """Return the error for an unknown id."""
    return NotFoundError("not_found", "There is no callback with this id.")
