"""Query parameters of GET /v1/callbacks: filters and their validation."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.errors import FieldError, invalid
from app.intake.phone import KNOWN_REGIONS, PhoneError, read_phone
from app.outbox.callback import Status

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# An unescaped + in a query string is decoded as a space.
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
    """The filters and the page of GET /v1/callbacks."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    site: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(max_length=100, description="Only this site; may be repeated. Absent: all sites of the key"),
    ] = []
    status: Annotated[list[Status], Field(max_length=10, description="Only in this status; may be repeated")] = []
    client_phone: Annotated[str | None, Field(max_length=64, description="Only this phone, in any common notation")] = (
        None
    )
    from_: Annotated[
        Instant | None,
        Field(alias="from", description="Only requested at this time or later; a date is its midnight in UTC"),
    ] = None
    to: Annotated[
        Instant | None, Field(description="Only requested before this time; a date is its midnight in UTC")
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="The maximum number of callbacks")] = 100
    cursor: Annotated[str | None, Field(max_length=64, description="next_cursor of the previous page")] = None


def normalize_search_phone(text: str, regions: Iterable[str]) -> str:
    """Return a phone in digits, as it is stored. A phone without country code belongs to the first of `regions`.

    Phones of all known regions are accepted: a site may have allowed more regions when the callback was stored.
    Raises UnprocessableContentError for an invalid phone.
    """
    try:
        return read_phone(text, [*dict.fromkeys((*regions, *sorted(KNOWN_REGIONS)))]).digits
    except PhoneError as error:
        raise invalid([FieldError("client_phone", error.code, error.detail)]) from None
