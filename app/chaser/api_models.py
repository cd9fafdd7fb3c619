"""Models of Chaser's methods: values to ordered parameters, response bodies to values. Pure.

A `Call` and the parameters of `statistics` are validated here, so every instance can be sent. Responses are parsed
only as far as they are documented: unknown fields are kept, and a statistics item is returned as received.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, Literal, TypeAlias, get_args

from . import validation
from .chaser_errors import InvalidParameter

NwtAction: TypeAlias = Literal["create_leed", "always_call"]
"""Chaser's action outside working hours: store a lead (the vendor's spelling), or call the next day."""

StatisticsFilter: TypeAlias = Literal["success_calls", "failed_calls"]

CALL_STACK_START_HOUR = (0, 24)
CALL_STACK_INTERVAL = (0, 60)  # minutes
_MAX_NESTING = 100


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
        now: datetime | None = None,
    ) -> None:
        """Validate all parameters. Raises InvalidParameter for the first one out of its range.

        None leaves a parameter out. With `now` (a datetime with a time zone) planned_time must be later. Without it
        any time is accepted: this class reads no clock, and a late attempt is still worth sending.
        """
        values = {name: value for name, value in locals().items() if name not in {"self", "now"}}
        error = _store(self, values, now)
        if error is not None:
            # Error trackers print the local variables of a traceback. They must not find the visitor's data here, nor a
            # partly initialized Call, whose repr fails.
            del self, values, client_phone, manager_phone, active_page, client_ip, message_on_ring, referrer
            raise error

    def parameters(self) -> list[tuple[str, str | int]]:
        """Return the names and values to send, in order, without the parameters left out."""
        pairs = ((item.name, getattr(self, item.name)) for item in fields(self))
        return [(name, value) for name, value in pairs if value is not None]


def _store(call: Call, values: dict[str, Any], now: datetime | None) -> InvalidParameter | None:
    try:
        for name, value in _validated(values, now):
            object.__setattr__(call, name, value)
    except InvalidParameter as error:
        return error.with_traceback(None)  # its frames hold the values
    return None


def _validated(values: dict[str, Any], now: datetime | None) -> list[tuple[str, Any]]:
    validators = {
        "site_id": lambda name, value: validation.integer(name, value, 1, validation.LARGEST_INTEGER),
        "client_phone": validation.phone,
        "manager_phone": validation.phone,
        "planned_time": lambda name, value: validation.unix_time(name, value, now),
        "active_page": validation.text,
        "client_ip": validation.ip_address,
        "message_on_ring": validation.text,
        "nwt_action": lambda name, value: validation.one_of(name, value, get_args(NwtAction)),
        "call_stack_start_hour": lambda name, value: validation.integer(name, value, *CALL_STACK_START_HOUR),
        "call_stack_interval": lambda name, value: validation.integer(name, value, *CALL_STACK_INTERVAL),
        "referrer": validation.text,
    }
    required = {"site_id", "client_phone"}
    validated = []
    for name, validate in validators.items():
        value = values[name]
        if name.startswith("call_stack_") and value is not None and values["nwt_action"] != "always_call":
            raise InvalidParameter(name, "has a meaning only together with nwt_action always_call")
        validated.append((name, None if value is None and name not in required else validate(name, value)))
    return validated


def statistics_parameters(
    site_id: int,
    date_from: date | None = None,
    date_to: date | None = None,
    filter: StatisticsFilter | None = None,  # noqa: A002  (Chaser's name)
) -> list[tuple[str, str | int]]:
    """Return the validated parameters of `statistics` in order. Raises InvalidParameter for the first wrong one."""
    parameters: list[tuple[str, str | int]] = [
        ("site_id", validation.integer("site_id", site_id, 1, validation.LARGEST_INTEGER))
    ]
    if date_from is not None:
        parameters.append(("date_from", validation.day("date_from", date_from)))
    if date_to is not None:
        parameters.append(("date_to", validation.day("date_to", date_to)))
    if date_from is not None and date_to is not None and date_from > date_to:
        raise InvalidParameter("date_from", "must not be later than date_to")
    if filter is not None:
        parameters.append(("filter", validation.one_of("filter", filter, get_args(StatisticsFilter))))
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
    return [_website(item) for item in _objects(body)]


def read_statistics(body: bytes) -> list[dict[str, Any]]:
    """Parse the response of `statistics` into its items, unchanged. Raises ValueError as `read_websites` does."""
    return _objects(body)


def _website(item: dict[str, Any]) -> Website:
    extra = dict(item)
    number = extra.pop("id", None)
    name, title = extra.pop("name", None), extra.pop("title", None)
    # The documentation shows ids as strings, but `statistics` and `call` accept integers.
    if isinstance(number, bool) or not re.fullmatch(r"[1-9][0-9]{0,18}", str(number), re.ASCII):
        raise ValueError("a website has no id that is a positive integer")
    return Website(id=int(number), name=_to_text(name), title=_to_text(title), extra=extra)


def _to_text(value: Any) -> str:
    return "" if value is None else str(value)


def _objects(body: bytes) -> list[dict[str, Any]]:
    """Parse a JSON list of objects that can be serialized again. Raises ValueError for anything else."""
    try:
        items = json.loads(body, parse_constant=_finite, parse_float=_finite)
        # Escapes can spell a lone surrogate, which fails later when it is encoded as UTF-8.
        if re.search(rb"\\u[dD][89a-fA-F]", body):
            json.dumps(items, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        items = None  # raised below, without context: the caught error contains the whole document
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items) or _is_too_deep(items):
        raise ValueError("the body is not a JSON list of objects")
    return items


def _is_too_deep(items: list[Any]) -> bool:
    """Return whether the items are nested too deeply to serialize them again: pydantic raises above 255 levels."""
    level: list[Any] = [items]
    for _ in range(_MAX_NESTING):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number
