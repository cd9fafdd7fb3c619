"""Validation of a request: the signature, and the ranges of the parameters. Pure: no I/O.

The signature is checked as a receiver in PHP does: decode the request, remove SecurityKey, build the query again,
append the private key unencoded, hash, compare. The ranges are the vendor's where documented: call_stack_start_hour
0-24, call_stack_interval 0-60, the two values of nwt_action, dd-mm-YYYY, "int". The answer to a value out of range and
the length of a phone number are not documented; both are invented here.
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
    """A parameter is missing or invalid. The message names it and never contains its value."""


@dataclass(frozen=True)
class CallParameters:
    """The parameters of `call` that have an effect; the others are only displayed."""

    client_phone: str
    manager_phone: str | None = None
    planned_time: datetime | None = None
    nwt_action: str | None = None
    call_stack_start_hour: int | None = None
    call_stack_interval: int | None = None


@dataclass(frozen=True)
class StatisticsParameters:
    """The parameters of `statistics` except the site: days in the site's time zone, both included."""

    date_from: date | None = None
    date_to: date | None = None
    filter: str | None = None


def security_key(params: Array, private_key: str) -> str:
    """Compute the signature of decoded parameters as PHP would; a SecurityKey among them is ignored."""
    signed = {name: value for name, value in params.items() if name != b"SecurityKey"}
    text = http_build_query(signed) + b"&PrivateSecurityKey=" + private_key.encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def signature_matches(params: Array, private_key: str) -> bool:
    """Return whether SecurityKey is correct for this private key. Compares in constant time."""
    received = params.get(b"SecurityKey")
    return isinstance(received, bytes) and hmac.compare_digest(security_key(params, private_key).encode(), received)


def read_text(params: Array, name: str) -> str | None:
    """Return a parameter as text, None if it is missing or empty. Raises BadParameterError for an array."""
    value = params.get(name.encode())
    if isinstance(value, dict):
        raise BadParameterError(f"{name}: must be a single value")
    return value.decode(errors="replace") if value else None


def read_site_id(params: Array) -> str:
    """Return the required site_id in the format of `websites`. Raises BadParameterError."""
    value = _integer(params, "site_id", 0, 2**63 - 1)
    if value is None:
        raise BadParameterError("site_id: is required")
    return str(value)


def read_call(params: Array) -> CallParameters:
    """Parse the parameters of `call` except site_id. Raises BadParameterError for the first invalid one."""
    phone = _phone(params, "client_phone")
    if phone is None:
        raise BadParameterError("client_phone: is required")
    # The upper limit is in the year 9999: datetime has no later years.
    planned = _integer(params, "planned_time", 0, 253_370_764_800)
    action = read_text(params, "nwt_action")
    if action is not None and action not in NWT_ACTIONS:
        raise BadParameterError(f"nwt_action: must be one of {', '.join(NWT_ACTIONS)}")
    for name in TEXTS:
        read_text(params, name)
    _check_address(params, "client_ip")
    return CallParameters(
        client_phone=phone,
        manager_phone=_phone(params, "manager_phone"),
        planned_time=None if planned is None else datetime.fromtimestamp(planned, UTC),
        nwt_action=action,
        call_stack_start_hour=_integer(params, "call_stack_start_hour", 0, 24),
        call_stack_interval=_integer(params, "call_stack_interval", 0, 60),
    )


def read_statistics(params: Array) -> StatisticsParameters:
    """Parse the parameters of `statistics` except site_id. Raises BadParameterError."""
    kind = read_text(params, "filter")
    if kind is not None and kind not in FILTERS:
        raise BadParameterError(f"filter: must be one of {', '.join(FILTERS)}")
    return StatisticsParameters(_date(params, "date_from"), _date(params, "date_to"), kind)


def _integer(params: Array, name: str, minimum: int, maximum: int) -> int | None:
    text = read_text(params, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and minimum <= int(text) <= maximum):
        raise BadParameterError(f"{name}: must be a whole number from {minimum} to {maximum}")
    return int(text)


def _phone(params: Array, name: str) -> str | None:
    text = read_text(params, name)
    if text is not None and not _PHONE.fullmatch(text):
        raise BadParameterError(f"{name}: must be 7 to 15 digits with the country code, and nothing else")
    return text


def _check_address(params: Array, name: str) -> None:
    text = read_text(params, name)
    try:
        if text is not None:
            ipaddress.ip_address(text)
    except ValueError as error:
        raise BadParameterError(f"{name}: must be an IPv4 or IPv6 address") from error


def _date(params: Array, name: str) -> date | None:
    text = read_text(params, name)
    if text is None:
        return None
    invalid = BadParameterError(f"{name}: must be a day as dd-mm-YYYY")
    match = _DATE.fullmatch(text)
    if match is None:
        raise invalid
    try:
        return date(int(match[3]), int(match[2]), int(match[1]))
    except ValueError as error:
        raise invalid from error
