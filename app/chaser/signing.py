"""Signs requests the way Chaser checks them; pure.

The rule is the vendor's: `SecurityKey = md5(http_build_query($params) . "&PrivateSecurityKey=" . $private_key)`,
where `client_id` is the last of the parameters. A receiver written in PHP decodes the request, builds the query again
and compares, so a single character that we encode otherwise than PHP turns an honest request into a 401.
`tests/chaser/signature_vectors.json` holds requests signed by PHP itself.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote_plus

from .chaser_errors import InvalidParameter

Value: TypeAlias = "bool | int | str | Sequence[Value] | Mapping[str, Value] | None"
"""What a parameter may be. No floats: Chaser has none, and how PHP prints one depends on its configuration."""

Parameters: TypeAlias = Iterable[tuple[str, Value]]
"""Names and values in the order they are signed and sent in."""

RESERVED = frozenset({"client_id", "SecurityKey", "PrivateSecurityKey"})
"""Names that the signature itself adds; a parameter of such a name could pass for a part of it."""


def http_build_query(parameters: Parameters) -> str:
    """Write parameters as PHP's `http_build_query` does (ASCII).

    Only `A-Z a-z 0-9 - _ .` stay as they are, a space becomes `+`, everything else is percent-encoded UTF-8. None is
    left out, True is 1, False is 0, an empty text stays. Lists and mappings become `name[0]=…` and `name[key]=…`
    with encoded brackets. Raises InvalidParameter for text that UTF-8 cannot encode (a lone surrogate) and for
    values that have no agreed text.
    """
    return "&".join(
        f"{_encoded(name, key)}={_encoded(name, text)}"
        for name, value in parameters
        for key, text in _flattened(name, name, value)
    )


def signed_query(parameters: Parameters, client_id: str) -> str:
    """Return what is signed: the parameters in their order, then `client_id`.

    Raises InvalidParameter as `http_build_query` does, and for a parameter named like a part of the signature.
    """
    listed = list(parameters)
    for name, _ in listed:
        if name in RESERVED:
            raise InvalidParameter(name, "is added by the signature and cannot be a parameter")
    return http_build_query([*listed, ("client_id", client_id)])


def security_key(query: str, private_key: str) -> str:
    """Return the signature of a `signed_query`: 32 lower-case hexadecimal digits.

    The private key goes in as it is, not percent-encoded. Raises InvalidParameter if UTF-8 cannot encode it.
    """
    secret = encodable("private_key", private_key)
    signed = query.encode("ascii") + b"&PrivateSecurityKey=" + secret
    return hashlib.md5(signed, usedforsecurity=False).hexdigest()


def request_body(parameters: Parameters, client_id: str, private_key: str) -> bytes:
    """Return the whole signed request: the body of a POST, or what follows the `?` of a GET.

    Raises InvalidParameter as `signed_query` and `security_key` do.
    """
    query = signed_query(parameters, client_id)
    return f"{query}&SecurityKey={security_key(query, private_key)}".encode("ascii")


def encodable(name: str, text: str) -> bytes:
    """Return the text in UTF-8, or raise InvalidParameter, which names the parameter and not its value."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass  # Raised below, outside: the UnicodeEncodeError carries the whole text and must not travel along.
    raise InvalidParameter(name, "must be text that UTF-8 can encode, without lone surrogates")


def _encoded(name: str, text: str) -> str:
    return quote_plus(encodable(name, text), safe="").replace("~", "%7E")


def _flattened(name: str, key: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case bool():  # Before int, which a bool is too.
            yield key, "1" if value else "0"
        case int():
            yield key, str(value)
        case str():
            yield key, value
        case Mapping():
            for inner, item in value.items():
                yield from _flattened(name, f"{key}[{inner}]", item)
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _flattened(name, f"{key}[{index}]", item)
        case _:
            raise InvalidParameter(name, f"must be text, an integer, a list or a mapping, not {type(value).__name__}")
