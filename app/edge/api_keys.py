"""API keys: ``Authorization: Bearer <key>``. Only SHA-256 digests are known here; keys are long and random."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from app.errors import ForbiddenError, UnauthenticatedError
from app.settings import ApiKey, Scope


def key_of(authorization: str | None, keys: Mapping[str, ApiKey]) -> str | None:
    """Give the name of the key in an Authorization header; None when the header is absent.

    Every known key is compared, each in constant time. Raises UnauthenticatedError for anything that is no known key.
    """
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()
    found = [name for name, key in keys.items() if hmac.compare_digest(key.sha256, digest)]
    if scheme.lower() != "bearer" or not found:
        raise UnauthenticatedError(
            "invalid_api_key", "This API key is not known here. Send: Authorization: Bearer <key>."
        )
    return found[0]


def require_scope(name: str, keys: Mapping[str, ApiKey], scope: Scope) -> None:
    """Raise ForbiddenError when a key lacks the scope."""
    if scope not in keys[name].scopes:
        raise ForbiddenError("scope_missing", f"This API key lacks the scope {scope}.")


def require_site(name: str, keys: Mapping[str, ApiKey], site: str) -> None:
    """Raise ForbiddenError when a key is bound to sites without this one."""
    if keys[name].sites and site not in keys[name].sites:
        raise ForbiddenError("site_not_allowed", "This API key is bound to other sites.")


def scoped_key(authorization: str | None, keys: Mapping[str, ApiKey], scope: Scope) -> str:
    """Return the name of the API key that an endpoint needs.

    Raises UnauthenticatedError, and ForbiddenError without the scope.
    """
    name = key_of(authorization, keys)
    if name is None:
        raise UnauthenticatedError("missing_api_key", "This needs an API key. Send: Authorization: Bearer <key>.")
    require_scope(name, keys, scope)
    return name


def require_unbound(name: str, keys: Mapping[str, ApiKey]) -> None:
    """Raise ForbiddenError when a key is bound to sites: what is asked for concerns all of them."""
    if keys[name].sites:
        raise ForbiddenError("site_not_allowed", "This concerns all sites, and this API key is bound to some.")


def permitted_sites(name: str, keys: Mapping[str, ApiKey], asked: Sequence[str]) -> tuple[str, ...]:
    """Give the sites that are to be read: those asked for, else those the key is bound to; none: all.

    Raises ForbiddenError when the key is bound to sites without one of these.
    """
    for site in asked:
        require_site(name, keys, site)
    return tuple(asked) or keys[name].sites
