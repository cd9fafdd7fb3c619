"""Response models of a callback with all its fields. Field names are those of Chaser's API where it has them."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from app.outbox.callback import Status
from app.outbox.queries import CallbackRecord

EXAMPLE: Final[dict[str, Any]] = {
    "id": "019ab0b9-76c0-7f3e-9d51-3c1c8a1f5b02",
    "site": "shop",
    "status": "placed",
    "reason": None,
    "client_phone": "79161234567",
    "phone_certain": True,
    "created_at": "2026-01-31T07:00:00.120000Z",
    "updated_at": "2026-01-31T07:00:06.480000Z",
    "due_at": None,
    "give_up_at": "2026-01-31T09:00:00.120000Z",
    "call_expected_at": "2026-01-31T07:00:00.120000Z",
    "rings_at": "2026-01-31T07:00:00.120000Z",
    "held_for": None,
    "duplicate_of": None,
    "again_of": None,
    "planned_time": None,
    "department": "sales",
    "manager_phone": "74950000002",
    "message_on_ring": "For sales",
    "nwt_action": "create_leed",
    "call_stack_start_hour": None,
    "call_stack_interval": None,
    "active_page": "https://shop.example/catalog?utm_source=newsletter",
    "referrer": "https://search.example/",
    "client_ip": "203.0.113.7",
    "consent": {
        "version": "2026-01",
        "url": "https://shop.example/privacy",
        "text": None,
        "at": "2026-01-31T07:00:00.120000+00:00",
        "client_ip": "203.0.113.7",
    },
    "api_key": None,
    "attempts": [
        {
            "number": 1,
            "started_at": "2026-01-31T07:00:00.140000Z",
            "outcome": "not_sent",
            "http_status": None,
            "duration_ms": 12,
            "detail": "NotSent",
            "answer": "",
            "rings_at": None,
        },
        {
            "number": 2,
            "started_at": "2026-01-31T07:00:06.200000Z",
            "outcome": "placed",
            "http_status": 200,
            "duration_ms": 270,
            "detail": None,
            "answer": '{"status": "ok"}',
            "rings_at": "2026-01-31T07:00:06.200000Z",
        },
    ],
}
_CHANGES = (
    (None, "queued", None, "visitor", "2026-01-31T07:00:00.120000Z"),
    ("queued", "sending", None, "system", "2026-01-31T07:00:00.140000Z"),
    ("sending", "queued", "not_sent", "system", "2026-01-31T07:00:00.152000Z"),
    ("queued", "sending", None, "system", "2026-01-31T07:00:06.200000Z"),
    ("sending", "placed", None, "system", "2026-01-31T07:00:06.480000Z"),
)
_HISTORY = [
    {"sequence": n, "from_status": from_, "to_status": to, "reason": reason, "actor": actor, "created_at": at}
    for n, (from_, to, reason, actor, at) in enumerate(_CHANGES, start=1)
]
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "CallbackResponse": EXAMPLE,
    "CallbackDetailResponse": {**EXAMPLE, "status_history": _HISTORY},
    "CallbacksPage": {"callbacks": [EXAMPLE], "next_cursor": EXAMPLE["id"]},
}
"""Examples by schema. They are added later, because FastAPI drops nulls from the examples of models."""


class AttemptResponse(BaseModel):
    """One attempt to deliver a callback to Chaser."""

    number: Annotated[int, Field(description="Counted from 1")]
    started_at: datetime
    outcome: Annotated[
        str | None,
        Field(
            description="placed, refused, forbidden, unauthorized, not_sent, not_started or unknown; null while sending"
        ),
    ]
    http_status: Annotated[int | None, Field(description="The status of Chaser's response; null without one")]
    duration_ms: int | None
    detail: Annotated[str | None, Field(description="The error in a word, such as NotSent; null without one")]
    answer: Annotated[str | None, Field(description="The first 2 KiB of Chaser's response; null once erased")]
    # Last: `callbacks show` prints the fields in this order, and scripts cut them out by their number.
    rings_at: Annotated[
        datetime | None, Field(description="When this attempt rings the phone; null: it can't have rung")
    ]


class CallbackResponse(BaseModel):
    """A callback with its attempts. Times are in UTC. Personal data is null once erased."""

    id: str
    site: str
    status: Status
    reason: Annotated[str | None, Field(description="The reason of this status, a stable code")]
    client_phone: Annotated[str | None, Field(description="In digits, with the country code; null once erased")]
    phone_certain: Annotated[bool, Field(description="False: the length is valid, but the number is in no known range")]
    created_at: datetime
    updated_at: datetime
    due_at: Annotated[datetime | None, Field(description="When the next attempt is due; null: no attempt is due")]
    give_up_at: Annotated[datetime, Field(description="When the callback expires if it was not placed")]
    call_expected_at: Annotated[datetime | None, Field(description="When the call is expected; null if unknown")]
    rings_at: Annotated[datetime | None, Field(description="The earliest moment the phone may ring; null while held")]
    held_for: Annotated[str | None, Field(description="The reason it was held for when it was accepted; null: none")]
    duplicate_of: Annotated[str | None, Field(description="The id of the callback that it was merged into; null: none")]
    again_of: Annotated[str | None, Field(description="The id of an earlier callback that did not ring; null: none")]
    planned_time: datetime | None
    department: str | None
    manager_phone: str | None
    message_on_ring: str | None
    nwt_action: str | None
    call_stack_start_hour: int | None
    call_stack_interval: int | None
    active_page: str | None
    referrer: str | None
    client_ip: str | None
    consent: Annotated[
        dict[str, Any] | None,
        Field(description="Proof of consent: version, url, text, at, client_ip; claimed_text: not the site's"),
    ]
    api_key: Annotated[
        str | None, Field(description="The name of the API key of the request; null: it came from a page")
    ]
    attempts: Annotated[list[AttemptResponse], Field(description="Oldest first")]


class StatusChangeResponse(BaseModel):
    """One change of a callback's status."""

    sequence: Annotated[int, Field(description="Counted from 1")]
    from_status: Annotated[Status | None, Field(description="The previous status; null when the request was accepted")]
    to_status: Status
    reason: Annotated[str | None, Field(description="The reason of the change, a stable code; null: none")]
    actor: Annotated[str, Field(description="system, visitor, operator, or key: and the name of an API key")]
    created_at: datetime


class CallbackDetailResponse(CallbackResponse):
    """A callback with its attempts and its status history. Changes before its introduction are not in it."""

    status_history: Annotated[list[StatusChangeResponse], Field(description="Oldest first")]


def values_of(record: CallbackRecord) -> dict[str, Any]:
    """Return a stored callback with its attempts and its status history, for the response models."""
    return {
        **record.callback,
        "attempts": [dict(attempt) for attempt in record.attempts],
        "status_history": [dict(change) for change in record.history],
    }
