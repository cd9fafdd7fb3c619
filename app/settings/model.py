"""All settings of the service as one frozen value. `loader.py` reads them."""

import json
import re
from collections.abc import ItemsView
from datetime import timedelta
from hashlib import scrypt, sha256
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from sqlalchemy import make_url

from app.net.client_address import parse_network
from app.settings.cross_checks import cross_checks
from app.settings.setting_types import CommaList, Limits, duration, integer, parse_limits
from app.settings.settings_base import ConflictingSettings, Name, SettingsModel, without_empty
from app.settings.site_settings import OnUnknown, Site
from app.settings.text_types import ClientId, Secret, StrongSecret, text_line
from app.settings.urls import BaseUrl, DatabaseUrl

Scope = Literal["callbacks:write", "callbacks:read", "chaser:read"]
_DIGEST_OF_EMPTY_KEY = sha256(b"").hexdigest()


def _address(value: Any) -> str:
    try:
        return str(ip_address(str(value).strip()))
    except ValueError:
        raise ValueError("write an IP address such as 127.0.0.1, or 0.0.0.0 for all") from None


def _digest(value: Any) -> str:
    digest = str(value).strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("write the 64 hexadecimal digits that `chaser-callback api-key new` prints")
    if digest == _DIGEST_OF_EMPTY_KEY:
        raise ValueError("this is the SHA-256 of an empty key: make a key with `chaser-callback api-key new`")
    return digest


class Chaser(SettingsModel):
    """The Chaser account of all sites without an account of their own."""

    client_id: Annotated[ClientId, Field(description="the client_id of your account at Chaser")]
    private_key: Annotated[Secret, Field(description="the private key of your account at Chaser")]
    api_url: BaseUrl = "https://api.chaser.ru/v1/"
    timeout: Annotated[timedelta, duration("1s", "2m")] = timedelta(seconds=10)


class FloodLimits(SettingsModel):
    """The rate limit of a client bucket in one process: see `app/edge/flood_limit.py`."""

    flood: Limits = parse_limits("60/minute")


class Quotas(SettingsModel):
    """Limits on calls, against harassment and cost. They are exact, because they are counted in the database."""

    per_phone: Limits = parse_limits("3/hour;5/day")
    per_address: Limits = parse_limits("20/minute;100/hour")
    per_address_phones: Limits = parse_limits("5/minute;60/hour")
    per_site: Limits = parse_limits("100/hour;500/day")
    held_per_site: Limits = parse_limits("200/day")


class ApiKey(SettingsModel):
    """The API key of another service. Only its SHA-256 is stored."""

    sha256: Annotated[
        str, BeforeValidator(_digest), Field(description="what `chaser-callback api-key new` prints for this key")
    ]
    scopes: Annotated[
        tuple[Scope, ...], CommaList, Field(min_length=1, description="what the key may do, such as callbacks:write")
    ]
    sites: Annotated[tuple[Name, ...], CommaList] = ()


class Settings(SettingsModel):
    """All settings. The name of a setting is its field name in upper case, with `__` between nested fields."""

    chaser: Chaser
    sites: Annotated[dict[Name, Site], Field(min_length=1)]
    database_url: Annotated[DatabaseUrl, Field(repr=False)] = "sqlite:///data/callbacks.db"
    secret_key: StrongSecret | None = None
    control_socket: Annotated[str, text_line(1024)] | None = None
    trusted_proxies: Annotated[
        tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(parse_network)], ...], CommaList
    ] = ()
    docs: bool = True
    metrics_port: Annotated[int, integer(1, 65535)] | None = None
    metrics_host: Annotated[str, BeforeValidator(_address)] = "127.0.0.1"
    limits: FloodLimits = FloodLimits()
    quotas: Quotas = Quotas()
    retry_schedule: Annotated[
        tuple[Annotated[timedelta, duration("1ms", "1d")], ...], CommaList, Field(min_length=1, max_length=50)
    ] = (timedelta(seconds=5), timedelta(seconds=15), timedelta(minutes=1), timedelta(minutes=5))
    calls_per_second: Annotated[int, integer(1, 1000)] = 20
    calls_at_once: Annotated[int, integer(1, 200)] = 16
    give_up_after: Annotated[timedelta, duration("1s", "7d")] = timedelta(hours=2)
    on_unknown: OnUnknown = "resend_once"
    resend_after: Annotated[timedelta, duration("1s", "1d")] = timedelta(minutes=1)
    keep_personal_data: Annotated[timedelta, duration("1d", "3650d")] = timedelta(days=90)
    duplicate_window: Annotated[timedelta, duration("1s", "10m")] = timedelta(minutes=1)
    api_keys: dict[Name, ApiKey] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _remove_empty(cls, values: Any) -> Any:
        # With an empty table for the account, each of its missing settings is reported with its own fix.
        return {"chaser": {}} | without_empty(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _cross_check(self) -> Self:
        conflicts = list(cross_checks(self))
        if conflicts:
            raise ConflictingSettings(conflicts)
        return self

    def account_of(self, site: str) -> str:
        """Return the `client_id` of the account that a site's calls go to. Raises KeyError for an unknown site."""
        return self.sites[site].client_id or self.chaser.client_id

    def on_unknown_of(self, site: str) -> OnUnknown:
        """Return what happens to a site's callbacks after a lost answer."""
        return self.sites[site].on_unknown or self.on_unknown

    def quotas_of(self, site: str) -> Quotas:
        """Return the quotas in force at a site: its own, and the general ones for the rest."""
        own = {name: limits for name, limits in self.sites[site].quotas if limits is not None}
        return self.quotas.model_copy(update=own)

    def accounts(self) -> ItemsView[str, SecretStr]:
        """Return every Chaser account in use once: its `client_id` and private key."""
        own = {site.client_id: site.private_key for site in self.sites.values() if site.client_id and site.private_key}
        return ({self.chaser.client_id: self.chaser.private_key} | own).items()

    @property
    def uses_sqlite(self) -> bool:
        """Return whether the database is an SQLite file, which belongs to one process."""
        return self.database_url.startswith("sqlite")

    def control_path(self) -> Path:
        """Return the path of the control socket: CONTROL_SOCKET, or beside the SQLite file, or in data/."""
        if self.control_socket is not None:
            return Path(self.control_socket)
        file = make_url(self.database_url).database if self.uses_sqlite else None
        return Path(file or "data/callbacks.db").with_name("control.sock")

    def digest(self) -> str:
        """Return eight hexadecimal digits that tell different settings apart. Secrets count, and don't show in it."""

        def plain(value: Any) -> str:
            return str(value.get_secret_value() if isinstance(value, SecretStr) else value)

        return sha256(json.dumps(self.model_dump(), default=plain, sort_keys=True).encode()).hexdigest()[:8]

    def legacy_secret(self) -> bytes:
        """Return the key that versions before 0.2.0 signed with: SECRET_KEY, or derived from Chaser's private key.

        The vendor and other integrations know the private key. So nothing is signed with this any more. It only
        verifies the challenges that were in flight during the upgrade.
        """
        if self.secret_key is not None:
            return self.secret_key.get_secret_value().encode()
        private_key = self.chaser.private_key.get_secret_value().encode()
        return scrypt(private_key, salt=b"chaser-callback SECRET_KEY", n=2**14, r=8, p=1, dklen=32)
