"""The two kinds of entries in the ledger: an executed call, and a received request."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from app.simulator.php import Array

QUEUED, RINGING, LEAD, DONE = "queued", "ringing", "lead", "done"
SUCCESS, FAILED = "success", "failed"


@dataclass(eq=False)
class Call:
    """One executed `call`. All times are in UTC; `result` is set when the call is over.

    `seq` numbers the calls and never restarts; `changed` is the ledger's version at the last change.
    """

    seq: int
    client_id: str
    site_id: str
    site_name: str
    timezone: str
    client_phone: str
    manager_phone: str
    params: dict[str, Any]
    received_at: datetime
    ring_at: datetime | None
    queue_day: date | None
    note: str
    fault: str | None
    scripted_result: str = SUCCESS
    state: str = QUEUED
    result: str | None = None
    rang_at: datetime | None = None
    ended_at: datetime | None = None
    changed: int = 0
    ring_ends: float = 0.0
    """End of the ring on the real monotonic clock: a ring lasts its seconds even if the simulated clock is stopped."""

    def to_json(self) -> dict[str, Any]:
        """Return the call as JSON of the control API."""
        return {
            "seq": self.seq,
            "changed": self.changed,
            "client_id": self.client_id,
            "site_id": self.site_id,
            "site_name": self.site_name,
            "timezone": self.timezone,
            "client_phone": self.client_phone,
            "manager_phone": self.manager_phone,
            "params": self.params,
            "state": self.state,
            "result": self.result,
            "note": self.note,
            "fault": self.fault,
            "received_at": iso(self.received_at),
            "ring_at": iso(self.ring_at),
            "rang_at": iso(self.rang_at),
            "ended_at": iso(self.ended_at),
        }


@dataclass(eq=False)
class ApiRequest:
    """One request that reached the API. `status` is None if no answer is sent.

    `query` and `body` are not decoded; `call` is the number of the call that the request executed, if any.
    """

    seq: int
    received_at: datetime
    method: str
    path: str
    query: str
    body: str
    fault: str | None = None
    status: int | None = None
    call: int | None = None
    message: str = ""
    changed: int = field(default=0)

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON of the control API."""
        return {
            "seq": self.seq,
            "received_at": iso(self.received_at),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body": self.body,
            "fault": self.fault,
            "status": self.status,
            "executed": self.call is not None,
            "call": self.call,
            "message": self.message,
        }


def iso(moment: datetime | None) -> str | None:
    """Format a time as ISO 8601 with milliseconds and its offset; None stays None."""
    return None if moment is None else moment.isoformat(timespec="milliseconds")


def readable(params: Array) -> dict[str, Any]:
    """Convert decoded parameters to JSON values; bytes that are not UTF-8 become U+FFFD."""
    return {
        key.decode(errors="replace") if isinstance(key, bytes) else str(key): (
            readable(value) if isinstance(value, dict) else value.decode(errors="replace")
        )
        for key, value in params.items()
    }
