"""Signatures of requests, as Chaser checks them. Pure.

The rule is the vendor's: `SecurityKey = md5(http_build_query($params) . "&PrivateSecurityKey=" . $private_key)`,
where `client_id` is the last of the parameters. The server, written in PHP, decodes the request, builds the query again
and compares. So a single character encoded differently from PHP makes a valid request a 401.
`tests/chaser/signature_vectors.json` contains requests signed by PHP itself.

All text must be valid UTF-8 once encoded. `api_models` checks this before a request is signed.
"""

import hashlib
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import urlencode

Parameters: TypeAlias = Iterable[tuple[str, str | int]]
"""Names and values in the order of the signature and of the request."""


def http_build_query(parameters: Parameters) -> str:
    """Encode parameters like PHP's `http_build_query`. Returns ASCII.

    `A-Z a-z 0-9 - _ .` stay unchanged, a space becomes `+`, everything else is percent-encoded UTF-8.
    """
    return urlencode(list(parameters)).replace("~", "%7E")


def signed_query(parameters: Parameters, client_id: str) -> str:
    """Return the query to sign: the parameters in their order, then `client_id`."""
    return http_build_query([*parameters, ("client_id", client_id)])


def security_key(query: str, private_key: str) -> str:
    """Return the signature of a `signed_query`: 32 lower-case hexadecimal digits.

    The private key is hashed unchanged, not percent-encoded.
    """
    signed = f"{query}&PrivateSecurityKey={private_key}".encode()
    return hashlib.md5(signed, usedforsecurity=False).hexdigest()


def request_body(parameters: Parameters, client_id: str, private_key: str) -> bytes:
    """Return the whole signed request: the body of a POST, or the query string of a GET."""
    query = signed_query(parameters, client_id)
    return f"{query}&SecurityKey={security_key(query, private_key)}".encode("ascii")
