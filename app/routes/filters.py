"""What GET /v1/callbacks is asked for: its query, read and checked."""

import re
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.errors import FieldError, UnprocessableContentError, invalid
from app.intake.phone import KNOWN_REGIONS, PhoneError, read_phone
from app.outbox.callback import Status

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# In a query an unescaped + is a space.
_LOST_PLUS = re.compile(r"(?<=\d) (?=\d{2}:\d{2}$)")


def _instant(value: Any) -> Any:
    text = str(value).strip()
    try:
        if _DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        if _DATE.match(text):
            return datetime.fromisoformat(_LOST_PLUS.sub("+", text))
    except ValueError:
        pass
    raise PydanticCustomError("not_a_time", "Write a date (2026-01-31), or a time and its zone (2026-01-31T10:00:00Z)")


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}),
]


class CallbacksQuery(BaseModel):
    """Which callbacks, and which page of them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    site: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(max_length=100, description="Only of this site; may be repeated. Absent: of all sites of the key"),
    ] = []
    status: Annotated[list[Status], Field(max_length=10, description="Only in this status; may be repeated")] = []
    client_phone: Annotated[
        str | None, Field(max_length=64, description="Only to this number, in any notation people write")
    ] = None
    from_: Annotated[
        Instant | None,
        Field(alias="from", description="Asked for at this time or later; a plain date begins at midnight UTC"),
    ] = None
    to: Annotated[
        Instant | None, Field(description="Asked for before this time; a plain date ends at its midnight UTC")
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="How many at most")] = 100
    cursor: Annotated[str | None, Field(max_length=64, description="next_cursor of the page before")] = None


def encode_cursor(callback_id: str) -> str:
    """Give the cursor of the page after the one that ends with this callback."""
    return urlsafe_b64encode(uuid.UUID(callback_id).bytes).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Give the id in a cursor. Raises UnprocessableContentError for anything that is none."""
    try:
        callback_id = str(uuid.UUID(bytes=urlsafe_b64decode(cursor + "==")))
        if encode_cursor(callback_id) == cursor:
            return callback_id
    except ValueError:
        pass
    raise UnprocessableContentError(
        "invalid_cursor", "This cursor is none of ours: begin again without one, or send next_cursor as is."
    )


def normalize_search_phone(text: str, regions: Iterable[str]) -> str:
    """Give a number in digits as it would be stored. A number without its country code is of the first region.

    All countries are looked in: a site may have taken more of them before. Raises UnprocessableContentError.
    """
    try:
        return read_phone(text, [*dict.fromkeys((*regions, *sorted(KNOWN_REGIONS)))]).digits
    except PhoneError as refused:
        wrong = FieldError("client_phone", refused.code, refused.detail)
        raise invalid([wrong]) from None
