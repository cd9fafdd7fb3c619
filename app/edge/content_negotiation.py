"""Content negotiation by Accept-Encoding and If-None-Match (RFC 9110). Pure functions.

Sections named below are those of RFC 9110.
"""

import re
from collections.abc import Sequence
from typing import Final

IDENTITY: Final = "identity"
"""The coding that changes nothing (section 12.5.3)."""

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
_ALIASES = {"x-gzip": "gzip"}  # section 8.4.1.3
_LEAST = 0.0001  # below the smallest weight of the grammar, 0.001: acceptable, but every other coding is better

_TAG = r'(?:W/)?+"[\x21\x23-\x7e\x80-\xff]*+"'
# Empty elements are allowed (section 5.6.1.2). Possessive, or a hostile list would cause catastrophic backtracking.
_TAGS = re.compile(rf"[ \t,]*+{_TAG}(?:[ \t]*+,[ \t,]*+(?:{_TAG})?+)*+[ \t]*+")


def best_coding(accepted: str | None, offered: Sequence[str]) -> str:
    """Return the content coding for an Accept-Encoding header (section 12.5.3). `accepted` is None without a header.

    `offered` are the available codings beside "identity", best first. The client's weights precede this order.
    A client that accepts none, not even "identity", gets "identity". Section 12.5.3 allows it, and a script that is
    perhaps readable is worth more than a 406.
    """
    if accepted is None:
        return IDENTITY
    weights: dict[str, float] = {}
    for element in accepted.lower().split(","):
        coding, *parameters = (part.strip() for part in element.split(";"))
        weight = _weight(parameters)
        if coding and weight is not None:
            weights[_ALIASES.get(coding, coding)] = weight
    others = weights.get("*")
    acceptable = {coding: weights.get(coding, others or 0.0) for coding in offered}
    acceptable[IDENTITY] = weights.get(IDENTITY, _LEAST if others is None else others)
    # Among equal weights max() returns the first, which is the best one offered.
    return max(acceptable, key=acceptable.__getitem__) if any(acceptable.values()) else IDENTITY


def _weight(parameters: Sequence[str]) -> float | None:
    """Parse the weight (section 12.4.2), 0 to 1. Return None if it is invalid, and the element is to be ignored."""
    if not parameters:
        return 1.0
    match = _WEIGHT.fullmatch(parameters[0]) if len(parameters) == 1 else None
    return float(match[1]) if match else None


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Return whether an If-None-Match header (section 13.1.2) contains an entity tag, given with its quotes.

    Comparison is weak, because proxies that compress responses make their tags weak. An invalid header matches nothing.
    `if_none_match` is None without a header.
    """
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    if not _TAGS.fullmatch(if_none_match):
        return False
    return etag in (tag.removeprefix("W/") for tag in re.findall(_TAG, if_none_match))
