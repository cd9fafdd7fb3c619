"""A callback as those see it who may see all of it: the names are those of the wire to Chaser."""

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
        },
        {
            "number": 2,
            "started_at": "2026-01-31T07:00:06.200000Z",
            "outcome": "placed",
            "http_status": 200,
            "duration_ms": 270,
            "detail": None,
            "answer": '{"status": "ok"}',
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
    "CallbacksPage": {"callbacks": [EXAMPLE], "next_cursor": "AZqwuXbAfz6dUTwcih9bAg"},
}
"""By schema: examples with nulls in them, which FastAPI leaves out of a document that it makes of the models."""


class AttemptResponse(BaseModel):
    """One try to deliver a callback."""

    number: Annotated[int, Field(description="From 1 on")]
    started_at: datetime
    outcome: Annotated[
        str | None,
        Field(description="placed, refused, forbidden, unauthorized, not_sent, not_started or unknown; null meanwhile"),
    ]
    http_status: Annotated[int | None, Field(description="What Chaser answered; null when no answer came")]
    duration_ms: int | None
    detail: Annotated[str | None, Field(description="What went wrong, in a word of this service")]
    answer: Annotated[str | None, Field(description="The first 2 KiB of what Chaser said; null once it is erased")]


class CallbackResponse(BaseModel):
    """A callback with its attempts. Times are in UTC; what was erased, with the visitor's number, is null."""

    id: str
    site: str
    status: Status
    reason: Annotated[str | None, Field(description="Why it is in this status, a stable code")]
    client_phone: Annotated[str | None, Field(description="In digits, with the country code; null once it is erased")]
    phone_certain: Annotated[bool, Field(description="False: the length is right, but no known range has the number")]
    created_at: datetime
    updated_at: datetime
    due_at: Annotated[datetime | None, Field(description="When the next attempt is due; null: none is")]
    give_up_at: Annotated[datetime, Field(description="When it is given up if it could not be placed")]
    call_expected_at: Annotated[datetime | None, Field(description="Null when nobody can tell")]
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
        dict[str, Any] | None, Field(description="The receipt: version, url, text, at and client_ip; null: none")
    ]
    api_key: Annotated[str | None, Field(description="The name of the key it came with; null: from a visitor's page")]
    attempts: Annotated[list[AttemptResponse], Field(description="The first one first")]


class StatusChangeResponse(BaseModel):
    """One change of a callback's status."""

    sequence: Annotated[int, Field(description="From 1 on")]
    from_status: Annotated[Status | None, Field(description="Null for the first one")]
    to_status: Status
    reason: Annotated[str | None, Field(description="A stable code")]
    actor: Annotated[str, Field(description="system, visitor, operator, or key: and the name of an API key")]
    created_at: datetime


class CallbackDetailResponse(CallbackResponse):
    """A callback with its attempts and its status history. The history of callbacks from before 0.2.0 is empty."""

    status_history: Annotated[list[StatusChangeResponse], Field(description="The first one first")]


def to_detail_response(stored: CallbackRecord) -> CallbackDetailResponse:
    """Return all of a callback, with its history."""
    history = [dict(change) for change in stored.history]
    return CallbackDetailResponse.model_validate({**to_response(stored).model_dump(), "status_history": history})


def to_response(stored: CallbackRecord) -> CallbackResponse:
    """Give all of a callback."""
    values = {**stored.callback, "attempts": [dict(attempt) for attempt in stored.attempts]}
    return CallbackResponse.model_validate(values)
