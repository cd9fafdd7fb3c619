"""Checks of settings against each other. Pure."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from limits import RateLimitItem
from pydantic import SecretStr

if TYPE_CHECKING:
    from app.settings.model import Settings


_KEPT: Final = timedelta(days=7)  # duplicates, which count for their address


def cross_checks(settings: "Settings") -> Iterator[tuple[str, str]]:
    """Yield each conflict between settings: the name of the setting to change, and the error with its fix.

    Names are in lower case with `__` between their steps.
    """
    if settings.retry_schedule[0] >= settings.give_up_after:
        yield "retry_schedule", "the first wait is not shorter than GIVE_UP_AFTER: make it shorter"
    resends = "resend_once" in map(settings.on_unknown_of, settings.sites)
    if resends and settings.resend_after >= settings.give_up_after:
        yield "resend_after", "not shorter than GIVE_UP_AFTER, so nothing would be sent again: make it shorter"
    yield from _quota_windows(settings)
    yield from _private_keys(settings)
    yield from _api_keys(settings)


def _quota_windows(settings: "Settings") -> Iterator[tuple[str, str]]:
    windows = {f"quotas__{name}": limits for name, limits in _limits(settings.quotas)}
    for name, site in settings.sites.items():
        windows |= {f"sites__{name}__quotas__{quota}": limits for quota, limits in _limits(site.quotas)}
    for name, limits in windows.items():
        if any(timedelta(seconds=limit.get_expiry()) > settings.keep_personal_data for limit in limits):
            yield (
                name,
                "its window is longer than KEEP_PERSONAL_DATA, after which requests can't be counted: shorten it",
            )
        elif "per_address" in name and any(timedelta(seconds=limit.get_expiry()) > _KEPT for limit in limits):
            yield name, "its window is longer than 7 days, after which merged requests are deleted: shorten it"


def _limits(
    quotas: Iterable[tuple[str, tuple[RateLimitItem, ...] | None]],
) -> Iterator[tuple[str, tuple[RateLimitItem, ...]]]:
    # Iterating over a pydantic model yields its field names and values.
    yield from ((name, limits) for name, limits in quotas if limits is not None)


def _private_keys(settings: "Settings") -> Iterator[tuple[str, str]]:
    keys: dict[str, tuple[str, SecretStr]] = {settings.chaser.client_id: ("CHASER", settings.chaser.private_key)}
    for name, site in settings.sites.items():
        if site.client_id is None or site.private_key is None:
            continue
        first, key = keys.setdefault(site.client_id, (f"SITES__{name.upper()}", site.private_key))
        if key != site.private_key:
            yield (
                f"sites__{name}__private_key",
                f"differs from {first}__PRIVATE_KEY although CLIENT_ID is the same: correct one of them",
            )


def _api_keys(settings: "Settings") -> Iterator[tuple[str, str]]:
    digests: dict[str, str] = {}
    for name, key in settings.api_keys.items():
        first = digests.setdefault(key.sha256, name)
        if first != name:
            yield (
                f"api_keys__{name}__sha256",
                f"the same key as API_KEYS__{first.upper()}: make another key for one of them",
            )
        for site in key.sites:
            if site not in settings.sites:
                known = ", ".join(settings.sites)
                yield f"api_keys__{name}__sites", f"there is no site {site}: write names of sites ({known})"
