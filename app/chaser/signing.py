"""Signatures of requests, as Chaser checks them. Pure.

The rule is the vendor's: `SecurityKey = md5(http_build_query($params) . "&PrivateSecurityKey=" . $private_key)`,
where `client_id` is the last of the parameters. The server, written in PHP, decodes the request, builds the query again
and compares. So a single character encoded differently from PHP makes a valid request a 401.
`tests/chaser/signature_vectors.json` contains requests signed by PHP itself.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote_plus

from .chaser_errors import InvalidParameter

Value: TypeAlias = "bool | int | str | Sequence[Value] | Mapping[str, Value] | None"
"""Types of a parameter. No floats: Chaser uses none, and PHP prints them depending on its configuration."""

Parameters: TypeAlias = Iterable[tuple[str, Value]]
"""Names and values in the order of the signature and of the request."""

RESERVED = frozenset({"client_id", "SecurityKey", "PrivateSecurityKey"})
"""Names that the signature adds. A parameter of such a name could be mistaken for a part of it."""


def http_build_query(parameters: Parameters) -> str:
    """Encode parameters like PHP's `http_build_query`. Returns ASCII.

    `A-Z a-z 0-9 - _ .` stay unchanged, a space becomes `+`, everything else is percent-encoded UTF-8. None is left
    out, True is 1, False is 0, an empty string is kept. Lists and mappings become `name[0]=…` and `name[key]=…` with
    encoded brackets. Raises InvalidParameter for text that UTF-8 cannot encode (a lone surrogate), and for values of
    other types.
    """
    return "&".join(
        f"{_encode(name, key)}={_encode(name, text)}"
        for name, value in parameters
        for key, text in _flatten(name, name, value)
    )


def signed_query(parameters: Parameters, client_id: str) -> str:
    """Return the query to sign: the parameters in their order, then `client_id`.

    Raises InvalidParameter like `http_build_query`, and for a parameter named like a part of the signature.
    """
    listed = list(parameters)
    for name, _ in listed:
        if name in RESERVED:
            raise InvalidParameter(name, "is added by the signature and cannot be a parameter")
    return http_build_query([*listed, ("client_id", client_id)])


def security_key(query: str, private_key: str) -> str:
    """Return the signature of a `signed_query`: 32 lower-case hexadecimal digits.

    The private key is hashed unchanged, not percent-encoded. Raises InvalidParameter if UTF-8 cannot encode it.
    """
    secret = encode_utf8("private_key", private_key)
    signed = query.encode("ascii") + b"&PrivateSecurityKey=" + secret
    return hashlib.md5(signed, usedforsecurity=False).hexdigest()


def request_body(parameters: Parameters, client_id: str, private_key: str) -> bytes:
    """Return the whole signed request: the body of a POST, or the query string of a GET.

    Raises InvalidParameter like `signed_query` and `security_key`.
    """
    query = signed_query(parameters, client_id)
    return f"{query}&SecurityKey={security_key(query, private_key)}".encode("ascii")


def encode_utf8(name: str, text: str) -> bytes:
    """Return the text in UTF-8. Raises InvalidParameter, with the parameter's name and without its value."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass  # raised below, without context: the UnicodeEncodeError contains the whole text
    raise InvalidParameter(name, "must be text that UTF-8 can encode, without lone surrogates")


def _encode(name: str, text: str) -> str:
    return quote_plus(encode_utf8(name, text), safe="").replace("~", "%7E")


def _flatten(name: str, key: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case bool():  # before int: bool is a subclass of it
            yield key, "1" if value else "0"
        case int():
            yield key, str(value)
        case str():
            yield key, value
        case Mapping():
            for inner, item in value.items():
                yield from _flatten(name, f"{key}[{inner}]", item)
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _flatten(name, f"{key}[{index}]", item)
        case _:
            raise InvalidParameter(name, f"must be text, an integer, a list or a mapping, not {type(value).__name__}")
