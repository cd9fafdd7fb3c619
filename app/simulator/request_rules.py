"""What the API demands of a request: the signature, and the ranges of the parameters (pure).

The signature is checked the way a receiver in PHP does it: decode the request, drop SecurityKey, build the query
again, append the private key as it is, hash, compare. The ranges are the vendor's where the vendor gives any
(call_stack_start_hour 0-24, call_stack_interval 0-60, the two values of nwt_action, dd-mm-YYYY, "int"); how a value
out of range is answered is not documented, and neither is the length of a phone number. Both are chosen here.
"""

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from app.simulator.php import Array, http_build_query

NWT_ACTIONS = ("create_leed", "always_call")
FILTERS = ("success_calls", "failed_calls")
TEXTS = ("active_page", "message_on_ring", "referrer")

_PHONE = re.compile(r"[1-9][0-9]{6,14}")
_DATE = re.compile(r"([0-9]{2})-([0-9]{2})-([0-9]{4})")


class BadParameterError(ValueError):
    """A parameter is missing or outside its range; the message names it and never repeats its value."""


@dataclass(frozen=True)
class CallParameters:
    """The parameters of `call` that decide what happens; the others are only kept for show."""

    client_phone: str
    manager_phone: str | None = None
    planned_time: datetime | None = None
    nwt_action: str | None = None
    call_stack_start_hour: int | None = None
    call_stack_interval: int | None = None


@dataclass(frozen=True)
class StatisticsParameters:
    """The parameters of `statistics` besides the site: days of the site's own calendar, both included."""

    date_from: date | None = None
    date_to: date | None = None
    filter: str | None = None


def security_key(params: Array, private_key: str) -> str:
    """Compute the signature PHP would make for these decoded parameters, whether or not they hold a SecurityKey."""
    signed = {name: value for name, value in params.items() if name != b"SecurityKey"}
    text = http_build_query(signed) + b"&PrivateSecurityKey=" + private_key.encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def signature_matches(params: Array, private_key: str) -> bool:
    """Whether the parameters carry the SecurityKey that this private key makes; compared in constant time."""
    given = params.get(b"SecurityKey")
    return isinstance(given, bytes) and hmac.compare_digest(security_key(params, private_key).encode(), given)


def text_of(params: Array, name: str) -> str | None:
    """One parameter as text; None if it is missing or empty. Raises BadParameterError for an array."""
    value = params.get(name.encode())
    if isinstance(value, dict):
        raise BadParameterError(f"{name}: must be a single value")
    return value.decode(errors="replace") if value else None


def site_id_of(params: Array) -> str:
    """Read the required site_id, as `websites` writes it. Raises BadParameterError."""
    value = _integer(params, "site_id", 0, 2**63 - 1)
    if value is None:
        raise BadParameterError("site_id: is required")
    return str(value)


def read_call(params: Array) -> CallParameters:
    """Read the parameters of `call` besides site_id. Raises BadParameterError for the first one out of range."""
    phone = _phone(params, "client_phone")
    if phone is None:
        raise BadParameterError("client_phone: is required")
    # Four digits of year at most, so that every accepted moment can be written as a date.
    planned = _integer(params, "planned_time", 0, 253_370_764_800)
    action = text_of(params, "nwt_action")
    if action is not None and action not in NWT_ACTIONS:
        raise BadParameterError(f"nwt_action: must be one of {', '.join(NWT_ACTIONS)}")
    for name in TEXTS:
        text_of(params, name)
    _address(params, "client_ip")
    return CallParameters(
        client_phone=phone,
        manager_phone=_phone(params, "manager_phone"),
        planned_time=None if planned is None else datetime.fromtimestamp(planned, UTC),
        nwt_action=action,
        call_stack_start_hour=_integer(params, "call_stack_start_hour", 0, 24),
        call_stack_interval=_integer(params, "call_stack_interval", 0, 60),
    )


def read_statistics(params: Array) -> StatisticsParameters:
    """Read the parameters of `statistics` besides site_id. Raises BadParameterError."""
    wanted = text_of(params, "filter")
    if wanted is not None and wanted not in FILTERS:
        raise BadParameterError(f"filter: must be one of {', '.join(FILTERS)}")
    return StatisticsParameters(_date(params, "date_from"), _date(params, "date_to"), wanted)


def _integer(params: Array, name: str, least: int, most: int) -> int | None:
    text = text_of(params, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise BadParameterError(f"{name}: must be a whole number from {least} to {most}")
    return int(text)


def _phone(params: Array, name: str) -> str | None:
    text = text_of(params, name)
    if text is not None and not _PHONE.fullmatch(text):
        raise BadParameterError(f"{name}: must be 7 to 15 digits with the country code, and nothing else")
    return text


def _address(params: Array, name: str) -> None:
    text = text_of(params, name)
    try:
        if text is not None:
            ipaddress.ip_address(text)
    except ValueError as error:
        raise BadParameterError(f"{name}: must be an IPv4 or IPv6 address") from error


def _date(params: Array, name: str) -> date | None:
    text = text_of(params, name)
    if text is None:
        return None
    fault = BadParameterError(f"{name}: must be a day as dd-mm-YYYY")
    match = _DATE.fullmatch(text)
    if match is None:
        raise fault
    try:
        return date(int(match[3]), int(match[2]), int(match[1]))
    except ValueError as error:
        raise fault from error
