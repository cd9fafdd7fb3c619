"""Parser of blocklist entries: a phone, an address, or a network."""

import re
from ipaddress import ip_network

import phonenumbers

from app.errors import FieldError, UnprocessableContentError, invalid

_SEPARATORS = re.compile(r"[\s().\-–]")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_FIX = "Write a phone with + and its country code (+79161234567), an address, or a network (203.0.113.0/24)."
_WIDEST = {4: 8, 6: 16}  # shortest prefixes by IP version; a typing error must not block a large part of the internet


def read_entry(text: str, *, listed: bool = False) -> str:
    """Return a blocklist entry in its stored form: a phone's digits, or a network in CIDR notation (an address as /32).

    A phone needs + and its country code: 9161234567 could be Russian or Indian. With `listed` the text may also be a
    stored entry, in which a phone has no plus. Raises UnprocessableContentError, which names the fix.
    """
    if listed and text.strip().isdecimal():
        return text.strip()
    try:
        # A zone is valid only on the machine that wrote it (RFC 4007).
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
    normalized = _SEPARATORS.sub("", text)
    if not _PHONE.fullmatch(normalized):
        raise _refused("invalid_format", _FIX)
    try:
        number = phonenumbers.parse(normalized)
    except phonenumbers.NumberParseException:
        raise _refused("invalid_format", _FIX) from None
    # The parser drops a trunk prefix after the country code. Refuse it, or the entry would differ from the text.
    digits = f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    if not phonenumbers.is_possible_number(number) or digits != normalized.removeprefix("+"):
        raise _refused("invalid_format", _FIX)
    return digits


def _refused(code: str, detail: str) -> UnprocessableContentError:
    return invalid([FieldError("entry", code, detail)])
