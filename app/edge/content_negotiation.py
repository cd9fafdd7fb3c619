"""What a client can read and what it has already: Accept-Encoding and If-None-Match (RFC 9110). Pure."""

import re
from collections.abc import Sequence
from typing import Final

IDENTITY: Final = "identity"
"""The coding that is none."""

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
_ALIASES = {"x-gzip": "gzip"}  # section 8.4.1.3
_LEAST = 0.0001  # below every weight that can be written: acceptable, but everything else is better

_TAG = r'(?:W/)?+"[\x21\x23-\x7e\x80-\xff]*+"'
# Empty elements are allowed (section 5.6.1.2). Possessive, so that no list takes long to refuse.
_TAGS = re.compile(rf"[ \t,]*+{_TAG}(?:[ \t]*+,[ \t,]*+(?:{_TAG})?+)*+[ \t]*+")


def best_coding(accepted: str | None, offered: Sequence[str]) -> str:
    """Choose a content coding by an Accept-Encoding header (section 12.5.3); None: there is no such header.

    ``offered``: the codings there are beside "identity", best first; the client's own weights count more than this
    order. A client that accepts none of them, not even "identity", gets "identity": the section allows that, and a
    script that may be read is more use than a refusal.
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
    found = {coding: weights.get(coding, others or 0.0) for coding in offered}
    found[IDENTITY] = weights.get(IDENTITY, _LEAST if others is None else others)
    # Of equal ones max() takes the first.
    return max(found, key=found.__getitem__) if any(found.values()) else IDENTITY


def _weight(parameters: Sequence[str]) -> float | None:
    """Read the weight, 0 to 1; None when it can't be read, and the element says nothing then."""
    if not parameters:
        return 1.0
    match = _WEIGHT.fullmatch(parameters[0]) if len(parameters) == 1 else None
    return float(match[1]) if match else None


def is_known(known: str | None, etag: str) -> bool:
    """Tell whether an If-None-Match header (section 13.1.2) names an entity tag, quotes included.

    Tags are compared weakly: proxies that compress on the way make them weak. A header that is no list of tags names
    none.
    """
    if known is None:
        return False
    if known.strip() == "*":
        return True
    if not _TAGS.fullmatch(known):
        return False
    return etag in (tag.removeprefix("W/") for tag in re.findall(_TAG, known))
