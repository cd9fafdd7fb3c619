"""Reads what is to be blocked: a phone, an address, or a network."""

import re
from ipaddress import ip_network

import phonenumbers

from app.errors import FieldError, UnprocessableContentError, invalid

_BETWEEN = re.compile(r"[\s().\-–]")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_CURE = "Write a phone with + and its country code (+79161234567), an address, or a network (203.0.113.0/24)."
_WIDEST = {4: 8, 6: 16}  # of a network: what is wider would block a large part of the world by a slip


def read_entry(text: str, *, listed: bool = False) -> str:
    """Give an entry of the blocklist: a phone in digits, or a network in CIDR notation, also for a single address.

    A phone is written with + and its country code: 9161234567 could be of Russia or India. ``listed``: the text may be
    an entry as it is listed, where a phone has no plus. Raises UnprocessableContentError, naming the cure.
    """
    if listed and text.strip().isdecimal():
        return text.strip()
    try:
        # A zone means something on the machine that wrote it only.
        network = ip_network("" if "%" in text else text.strip(), strict=False)
    except ValueError:
        return _phone(text)
    if network.prefixlen < _WIDEST[network.version]:
        raise _refused("too_wide", f"This network is too wide: block /{_WIDEST[network.version]} at most.")
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None:
        raise _refused("invalid_format", f"Write this address as IPv4: {mapped}")
    return str(network)


def _phone(text: str) -> str:
    bare = _BETWEEN.sub("", text)
    if not _PHONE.fullmatch(bare):
        raise _refused("invalid_format", _CURE)
    try:
        number = phonenumbers.parse(bare)
    except phonenumbers.NumberParseException:
        raise _refused("invalid_format", _CURE) from None
    # As visitors' numbers are read: without the trunk prefix that people write behind the country code.
    digits = f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    if not phonenumbers.is_possible_number(number) or digits != bare.removeprefix("+"):
        raise _refused("invalid_format", _CURE)
    return digits


def _refused(code: str, detail: str) -> UnprocessableContentError:
    return invalid([FieldError("entry", code, detail)])
