"""Turns values into the ordered parameters of Chaser's methods, and answers into values; pure.

A `Call` and the parameters of `statistics` are checked here, so what exists can be sent. The answers are read as far
as they are documented and not further: unknown fields are kept, and a statistics item is passed on as it came.
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
"""What Chaser does outside working hours: store a lead (the vendor's spelling), or call the next day."""

StatisticsFilter: TypeAlias = Literal["success_calls", "failed_calls"]

CALL_STACK_START_HOUR = (0, 24)
CALL_STACK_INTERVAL = (0, 60)  # Minutes.
_MAX_NESTING = 100


@dataclass(frozen=True, slots=True, init=False)
class Call:
    """The parameters of `call`, every one inside its range, in the order they are sent.

    Phones are stored as digits and planned_time as unix seconds, whichever way they were given. The `repr` shows
    nothing that a visitor gave us.
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
        """Check every parameter; raise InvalidParameter for the first that is out of its range.

        None leaves a parameter out. With `now` (a datetime with a time zone) planned_time must be later; without it
        the time is not compared with anything, because this class reads no clock and an attempt made late is still
        worth sending.
        """
        given = {name: value for name, value in locals().items() if name not in {"self", "now"}}
        refusal = _store(self, given, now)
        if refusal is not None:
            # Tools that print the local variables of a traceback must not find the visitor's data in this frame, nor
            # half a Call, which has no repr.
            del self, given, client_phone, manager_phone, active_page, client_ip, message_on_ring, referrer
            raise refusal

    def parameters(self) -> list[tuple[str, str | int]]:
        """Return the names and values to send, in order, without those left out."""
        pairs = ((item.name, getattr(self, item.name)) for item in fields(self))
        return [(name, value) for name, value in pairs if value is not None]


def _store(call: Call, given: dict[str, Any], now: datetime | None) -> InvalidParameter | None:
    try:
        for name, value in _checked(given, now):
            object.__setattr__(call, name, value)
    except InvalidParameter as refusal:
        return refusal.with_traceback(None)  # The frames below hold the values.
    return None


def _checked(given: dict[str, Any], now: datetime | None) -> list[tuple[str, Any]]:
    checks = {
        "site_id": lambda name, value: validation.integer(name, value, 1, validation.LARGEST_INTEGER),
        "client_phone": validation.phone,
        "manager_phone": validation.phone,
        "planned_time": lambda name, value: validation.moment(name, value, now),
        "active_page": validation.text,
        "client_ip": validation.address,
        "message_on_ring": validation.text,
        "nwt_action": lambda name, value: validation.one_of(name, value, get_args(NwtAction)),
        "call_stack_start_hour": lambda name, value: validation.integer(name, value, *CALL_STACK_START_HOUR),
        "call_stack_interval": lambda name, value: validation.integer(name, value, *CALL_STACK_INTERVAL),
        "referrer": validation.text,
    }
    required = {"site_id", "client_phone"}
    checked = []
    for name, check in checks.items():
        value = given[name]
        if name.startswith("call_stack_") and value is not None and given["nwt_action"] != "always_call":
            raise InvalidParameter(name, "has a meaning only together with nwt_action always_call")
        checked.append((name, None if value is None and name not in required else check(name, value)))
    return checked


def statistics_parameters(
    site_id: int,
    date_from: date | None = None,
    date_to: date | None = None,
    filter: StatisticsFilter | None = None,  # noqa: A002  (Chaser's own name for it)
) -> list[tuple[str, str | int]]:
    """Return the checked parameters of `statistics` in order; raise InvalidParameter for the first wrong one."""
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
    """A site of the account. `extra` holds the fields that Chaser sent and its page does not mention."""

    id: int
    name: str
    title: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


def read_websites(body: bytes) -> list[Website]:
    """Read the answer of `websites`. Raises ValueError, with nothing of the body in it, if it is not as documented."""
    return [_website(item) for item in _objects(body)]


def read_statistics(body: bytes) -> list[dict[str, Any]]:
    """Read the answer of `statistics`: its items as they came. Raises ValueError as `read_websites` does."""
    return _objects(body)


def _website(item: dict[str, Any]) -> Website:
    extra = dict(item)
    number = extra.pop("id", None)
    name, title = extra.pop("name", None), extra.pop("title", None)
    # The page shows ids as text, and `statistics` and `call` take them as integers.
    if isinstance(number, bool) or not re.fullmatch(r"[1-9][0-9]{0,18}", str(number), re.ASCII):
        raise ValueError("a website has no id that is a positive integer")
    return Website(id=int(number), name=_shown(name), title=_shown(title), extra=extra)


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def _objects(body: bytes) -> list[dict[str, Any]]:
    """Read a JSON list of objects that can be written as JSON again."""
    try:
        items = json.loads(body, parse_constant=_finite, parse_float=_finite)
        # Escapes can spell half a surrogate pair, which no UTF-8 writer down the line accepts.
        if re.search(rb"\\u[dD][89a-fA-F]", body):
            json.dumps(items, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        items = None  # Raised below, outside: the error carries the whole document.
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items) or _is_deep(items):
        raise ValueError("the body is not a JSON list of objects")
    return items


def _is_deep(items: list[Any]) -> bool:
    """Return whether the items are nested too deeply to be written as JSON again: pydantic raises above 255 levels."""
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
        raise ValueError("a number that JSON does not have")
    return number
