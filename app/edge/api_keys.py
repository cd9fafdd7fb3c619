"""API keys: `Authorization: Bearer <key>` (RFC 6750).

Only SHA-256 digests are stored. A plain hash is enough, because keys are long and random.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final, get_args

from starlette.requests import Request

from app.edge.control_socket import IS_OPERATOR
from app.errors import ForbiddenError, UnauthenticatedError
from app.settings import ApiKey, Scope

OPERATOR: Final = "(terminal)"
"""The name that stands for a key in requests of the control socket. No key in the settings can have this name."""


def with_operator(keys: Mapping[str, ApiKey]) -> dict[str, ApiKey]:
    """Return the keys of the settings and the operator's rights: every scope, all sites, and a digest of no key."""
    return {**keys, OPERATOR: ApiKey.model_construct(sha256="", scopes=get_args(Scope), sites=())}


def caller_of(request: Request, keys: Mapping[str, ApiKey]) -> str | None:
    """Return OPERATOR for a request of the control socket, else the name of its API key, None without one.

    Raises UnauthenticatedError for an unknown key.
    """
    if request.scope["state"].get(IS_OPERATOR):
        return OPERATOR
    return key_of(request.headers.get("authorization"), keys)


def key_of(authorization: str | None, keys: Mapping[str, ApiKey]) -> str | None:
    """Return the name of the API key in an Authorization header, or None without a header.

    Every known key is compared in constant time, so the duration reveals nothing about the keys.
    Raises UnauthenticatedError for any header that holds no known key.
    """
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()
    matches = [name for name, key in keys.items() if hmac.compare_digest(key.sha256, digest)]
    if scheme.lower() != "bearer" or not matches:
        raise UnauthenticatedError(
            "invalid_api_key", "This API key is not known here. Send: Authorization: Bearer <key>."
        )
    return matches[0]


def require_scope(name: str, keys: Mapping[str, ApiKey], scope: Scope) -> None:
    """Raise ForbiddenError if a key lacks the scope."""
    if scope not in keys[name].scopes:
        raise ForbiddenError("scope_missing", f"This API key lacks the scope {scope}.")


def require_site(name: str, keys: Mapping[str, ApiKey], site: str) -> None:
    """Raise ForbiddenError if a key is bound to sites and this is none of them."""
    if keys[name].sites and site not in keys[name].sites:
        raise ForbiddenError("site_not_allowed", "This API key is bound to other sites.")


def require_unbound(name: str, keys: Mapping[str, ApiKey]) -> None:
    """Raise ForbiddenError if a key is bound to sites, for endpoints that concern all sites."""
    if keys[name].sites:
        raise ForbiddenError("site_not_allowed", "This concerns all sites, and this API key is bound to some.")


def permitted_sites(name: str, keys: Mapping[str, ApiKey], requested: Sequence[str]) -> tuple[str, ...]:
    """Return the sites to read: those requested, else those the key is bound to. Empty means all sites.

    Raises ForbiddenError if the key is bound to sites and one of those requested is not among them.
    """
    for site in requested:
        require_site(name, keys, site)
    return tuple(requested) or keys[name].sites
