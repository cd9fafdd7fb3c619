"""API keys: parsing of the Authorization header, and the permissions by scope and site."""

import hashlib

import pytest

from app.edge.api_keys import key_of, require_scope, require_site
from app.errors import ForbiddenError, UnauthenticatedError
from app.settings import ApiKey

SECRET = "ccb_Zm9vYmFyLWJhei1xdXV4"


def key(secret: str, *scopes: str, sites: tuple[str, ...] = ()) -> ApiKey:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return ApiKey.model_validate({"sha256": digest, "scopes": scopes, "sites": sites})


KEYS = {
    "crm": key(SECRET, "callbacks:write", "callbacks:read"),
    "shop": key("other", "callbacks:write", sites=("shop", "outlet")),
    "accented": key("clé", "callbacks:read"),
}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("gap", [" ", "   "])
def test_a_known_key_results_in_its_name(scheme: str, gap: str) -> None:
    assert key_of(f"{scheme}{gap}{SECRET}", KEYS) == "crm"
    assert key_of(f"{scheme}{gap}other", KEYS) == "shop"


def test_no_header_is_no_key() -> None:
    assert key_of(None, KEYS) is None


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        SECRET,
        f"Basic {SECRET}",
        f"Bearer: {SECRET}",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {SECRET.lower()}",
        f"Bearer {SECRET} other",
        f"Bearer {SECRET}, Bearer {SECRET}",
        f"Bearer\t{SECRET}",
        f"Bearer {KEYS['crm'].sha256}",
        "Bearer clé".encode().decode("latin-1"),
        "Bearer \udc80",
        "Bearer " + "x" * 100_000,
    ],
)
def test_anything_else_is_refused(authorization: str) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        key_of(authorization, KEYS)
    assert refused.value.code == "invalid_api_key"
    assert SECRET not in refused.value.detail


def test_without_keys_in_the_settings_every_key_is_refused() -> None:
    with pytest.raises(UnauthenticatedError):
        key_of(f"Bearer {SECRET}", {})


def test_a_key_may_do_what_its_scopes_say() -> None:
    require_scope("crm", KEYS, "callbacks:write")
    require_site("crm", KEYS, "shop")
    require_scope("crm", KEYS, "callbacks:read")
    with pytest.raises(ForbiddenError) as refused:
        require_scope("crm", KEYS, "chaser:read")
    assert refused.value.code == "scope_missing"


def test_a_key_bound_to_sites_is_refused_for_another_site() -> None:
    require_scope("shop", KEYS, "callbacks:write")
    require_site("shop", KEYS, "outlet")
    with pytest.raises(ForbiddenError) as refused:
        require_site("shop", KEYS, "blog")
    assert refused.value.code == "site_not_allowed"
