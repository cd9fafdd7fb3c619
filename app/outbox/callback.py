"""The values that pass between the rooms: the callback, what it says of itself, and what was accepted."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from app.errors import NotFoundError


class Status(StrEnum):
    """Where a callback is in its life."""

    HELD = "held"
    QUEUED = "queued"
    SENDING = "sending"
    PLACED = "placed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


ACTIVE_STATUSES: Final = (Status.QUEUED, Status.SENDING, Status.PLACED, Status.UNKNOWN)
"""Whoever asks again after one of these is answered with the same callback: the phone rings, has rung, or may have.

After a failed or cancelled one the second request is a new wish.
"""


CLIENT_BUCKETS: Final = ("client_bucket", "client_bucket_56", "client_bucket_48")
"""What a visitor is counted by: an address or an IPv6 /64, and the wider networks around that."""

IDENTITY_FIELDS: Final = ("planned_time", "manager_phone", "department", "message_on_ring")
"""What makes a second request another wish than the first: another time, somebody else, something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One request to be phoned, complete and checked. All times are aware and in UTC.

    ``account`` is the client_id of the Chaser account, ``chaser_site_id`` the site's number there. ``client_bucket`` is
    what quotas count the visitor by; None for a request that came with an API key. ``client_bucket_56`` and
    ``client_bucket_48`` are the wider networks of an IPv6 visitor, None for all others. ``hold``: the stable code of a
    reason why a person shall look at it first; None lets it be sent at once.
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
    client_bucket_56: str | None = None
    client_bucket_48: str | None = None
    hold: str | None = None

    def __repr__(self) -> str:
        """Show nothing personal: what is shown here gets into tracebacks."""
        return f"Callback(id={self.id!r}, site={self.site!r})"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a repeated request the same request: the caller's key within a scope, and what was asked under it."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """What the caller is told. ``duplicate``: an earlier callback stands for this one; ``replayed``: same request."""

    id: str
    status: str
    created_at: datetime
    call_expected_at: datetime | None
    duplicate: bool = False
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class CallbackStatus:
    """What is seen of a callback by its id. Who may see the true ``status`` is decided where it is asked for."""

    id: str
    site: str
    status: str
    call_expected_at: datetime | None


def public_status(status: str) -> str:
    """Give a status as strangers are told it: whoever tried a trap must not learn that he is held."""
    return Status.QUEUED if status == Status.HELD else status


def callback_not_found() -> NotFoundError:
    """Make the refusal for an id that nobody was given."""
    return NotFoundError("not_found", "There is no callback with this id.")
