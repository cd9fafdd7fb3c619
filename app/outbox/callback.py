"""The values that pass between the rooms: the callback, what it says of itself, and what was accepted."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Where a callback is in its life."""

    HELD = "held"
    QUEUED = "queued"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One request to be phoned, complete and checked. All times are aware and in UTC.

    ``account`` is the client_id of the Chaser account, ``chaser_site_id`` the site's number there. ``client_bucket`` is
    what quotas count the visitor by; None for a request that came with an API key.
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


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a repeated request the same request: the caller's key within a scope, and what was asked under it."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the caller is told. ``duplicate``: an earlier callback stands for this one; ``replayed``: same request."""

    id: str
    status: str
    created_at: datetime
    call_expected_at: datetime | None
    duplicate: bool = False
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What anybody who knows the id of a callback may see."""

    id: str
    status: str
    call_expected_at: datetime | None
