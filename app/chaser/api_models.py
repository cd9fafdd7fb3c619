"""Models of Chaser's methods: values to ordered parameters, response bodies to values. Pure.

A `Call` and the parameters of `statistics` are validated here, so every instance can be sent. Responses are parsed
only as far as they are documented: unknown fields are kept, and a statistics item is returned as received.
"""

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, AwareDatetime, Field, TypeAdapter, ValidationError

from .chaser_errors import InvalidParameter

NwtAction: TypeAlias = Literal["create_leed", "always_call"]
"""Chaser's action outside working hours: store a lead (the vendor's spelling), or call the next day."""

StatisticsFilter: TypeAlias = Literal["success_calls", "failed_calls"]

_LATEST_TIME: Final = 253_402_300_799  # last second of the year 9999: a larger value is in milliseconds by mistake


def _encodable(text: str) -> str:
    text.encode()  # raises UnicodeEncodeError, a ValueError, for a lone surrogate
    return text


def _without_zone(text: str) -> str:
    if "%" in text or not ip_address(text):
        raise ValueError("a zone is valid only on the machine that wrote it")
    return text


def _unix_seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _written(day: date) -> str:
    return f"{day.day:02}-{day.month:02}-{day.year:04}"


_Text = Annotated[str, AfterValidator(_encodable)]
# E.164: at most 15 digits, and no country code begins with 0. The shortest numbers in use have 7 with the code.
_Phone = (
    Annotated[str, Field(pattern=r"^[1-9][0-9]{6,14}$")]
    | Annotated[int, Field(ge=10**6, lt=10**15), AfterValidator(str)]
)
_Time = Annotated[Annotated[AwareDatetime, AfterValidator(_unix_seconds)] | int, Field(ge=1, le=_LATEST_TIME)]
_IS_PHONE = "must be 7 to 15 digits with the country code and no other character"
_IS_TEXT = "must be text that UTF-8 can encode, without lone surrogates"
# A datetime is no date: its day depends on the time zone, and Chaser does not document which one it uses.
_IS_DAY = "must be a date without a time of day"

# The ranges are the vendor's, see the documentation of `call`. 64 bits are PHP's integers, which Chaser is written in.
_RULES: Final[dict[str, tuple[Any, str]]] = {
    "client_id": (Annotated[_Text, Field(min_length=1)], f"{_IS_TEXT}, and not empty"),
    "private_key": (Annotated[_Text, Field(min_length=1)], f"{_IS_TEXT}, and not empty"),
    "site_id": (Annotated[int, Field(ge=1, lt=2**63)], "must be an integer from 1"),
    "client_phone": (_Phone, _IS_PHONE),
    "manager_phone": (_Phone, _IS_PHONE),
    "planned_time": (_Time, f"must be a datetime with a time zone, or Unix seconds from 1 to {_LATEST_TIME}"),
    "active_page": (_Text, _IS_TEXT),
    "client_ip": (Annotated[str, AfterValidator(_without_zone)], "must be an IPv4 or IPv6 address without a zone"),
    "message_on_ring": (_Text, _IS_TEXT),
    "nwt_action": (NwtAction, "must be one of create_leed, always_call"),
    "call_stack_start_hour": (Annotated[int, Field(ge=0, le=24)], "must be an integer from 0 to 24"),
    "call_stack_interval": (Annotated[int, Field(ge=0, le=60)], "must be an integer from 0 to 60"),  # minutes
    "referrer": (_Text, _IS_TEXT),
    "date_from": (Annotated[date, AfterValidator(_written)], _IS_DAY),
    "date_to": (Annotated[date, AfterValidator(_written)], _IS_DAY),
    "filter": (StatisticsFilter, "must be one of success_calls, failed_calls"),
}
_VALIDATORS: Final = {name: TypeAdapter(kind) for name, (kind, _) in _RULES.items()}


def validated(name: str, value: Any) -> Any:
    """Return a parameter in its canonical form. Raises InvalidParameter with its name and range, never the value."""
    try:
        return _VALIDATORS[name].validate_python(value, strict=True)
    except ValidationError:
        del value  # error trackers print the local variables of a traceback
    # Raised here, without context: the ValidationError contains the value.
    raise InvalidParameter(name, _RULES[name][1])


@dataclass(frozen=True, slots=True, init=False)
class Call:
    """The parameters of `call`, each within its range, in the order they are sent.

    Phones are stored as digits and planned_time as Unix seconds, whichever form was passed. The `repr` contains no
    personal data of a visitor.
    """

    site_id: int
    client_phone: str = field(repr=False)
    manager_phone: str | None = field(repr=False)
    planned_time: int | None
    active_page: str | None = field(repr=False)
    client_ip: str | None = field(repr=False)
    message_on_ring: str | None = field(repr=False)
    nwt_action: NwtAction | None
    call_stack_start_hour: int | None
    call_stack_interval: int | None
    referrer: str | None = field(repr=False)

    def __init__(
        self,
        *,
        site_id: int,
        client_phone: int | str,
        manager_phone: int | str | None = None,
        planned_time: datetime | int | None = None,
        active_page: str | None = None,
        client_ip: str | None = None,
        message_on_ring: str | None = None,
        nwt_action: NwtAction | None = None,
        call_stack_start_hour: int | None = None,
        call_stack_interval: int | None = None,
        referrer: str | None = None,
    ) -> None:
        """Validate all parameters. Raises InvalidParameter for the first one out of its range.

        None leaves a parameter out. A planned_time may be past: this class reads no clock, and a late attempt is still
        worth sending.
        """
        values = {name: value for name, value in locals().items() if name != "self"}
        error = _store(self, values)
        if error is not None:
            # Error trackers print the local variables of a traceback. They must not find the visitor's data here, nor a
            # partly initialized Call, whose repr fails.
            del self, values, client_phone, manager_phone, active_page, client_ip, message_on_ring, referrer
            raise error

    def parameters(self) -> list[tuple[str, str | int]]:
        """Return the names and values to send, in order, without the parameters left out."""
        pairs = ((item.name, getattr(self, item.name)) for item in fields(self))
        return [(name, value) for name, value in pairs if value is not None]


def _store(call: Call, values: dict[str, Any]) -> InvalidParameter | None:
    try:
        for name, value in values.items():
            if name.startswith("call_stack_") and value is not None and values["nwt_action"] != "always_call":
                return InvalidParameter(name, "has a meaning only together with nwt_action always_call")
            is_absent = value is None and name not in {"site_id", "client_phone"}
            object.__setattr__(call, name, None if is_absent else validated(name, value))
    except InvalidParameter as error:
        return error.with_traceback(None)  # its frames hold the values
    return None


def statistics_parameters(
    site_id: int,
    date_from: date | None = None,
    date_to: date | None = None,
    filter: StatisticsFilter | None = None,  # noqa: A002  (Chaser's name)
) -> list[tuple[str, str | int]]:
    """Return the validated parameters of `statistics` in order. Raises InvalidParameter for the first wrong one."""
    values = {"site_id": site_id, "date_from": date_from, "date_to": date_to, "filter": filter}
    parameters = [
        (name, validated(name, value)) for name, value in values.items() if value is not None or name == "site_id"
    ]
    if date_from is not None and date_to is not None and date_from > date_to:
        raise InvalidParameter("date_from", "must not be later than date_to")
    return parameters


@dataclass(frozen=True, slots=True)
class Website:
    """A site of the account. `extra`: fields of the response that are not documented."""

    id: int
    name: str
    title: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


def read_websites(body: bytes) -> list[Website]:
    """Parse the response of `websites`. Raises ValueError, without any of the body, if it is not as documented."""
    return [_website(item) for item in read_objects(body)]


def _website(item: dict[str, Any]) -> Website:
    extra = dict(item)
    number, name, title = (extra.pop(field, None) for field in ("id", "name", "title"))
    # The documentation shows ids as strings, but `statistics` and `call` accept integers.
    if isinstance(number, bool) or not re.fullmatch(r"[1-9][0-9]{0,18}", str(number), re.ASCII):
        raise ValueError("a website has no id that is a positive integer")
    return Website(id=int(number), name=str(name or ""), title=str(title or ""), extra=extra)


_OBJECTS: Final = TypeAdapter(list[dict[str, Any]])


def read_objects(body: bytes) -> list[dict[str, Any]]:
    """Parse a JSON list of objects that can be serialized again, such as the response of `statistics`.

    Raises ValueError, without any of the body, for anything else.

    The parser of pydantic refuses lone surrogates, and deeper nesting than its serializer can write.
    """
    try:
        items = _OBJECTS.validate_json(body.removeprefix(codecs.BOM_UTF8))
        json.dumps(items, allow_nan=False)  # 1e999 is infinite
    except ValueError:
        pass  # raised below, without context: the caught error contains the whole document
    else:
        return items
    raise ValueError("the body is not a JSON list of objects")
