"""All settings of the service as one frozen value. Reads nothing: see sources.py."""

import re
from collections.abc import Iterator
from datetime import timedelta
from hashlib import scrypt, sha256
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from app.net.client_address import parse_networks
from app.settings.cross_checks import cross_checks
from app.settings.setting_types import CommaList, Limits, boolean, duration, integer, parse_limits
from app.settings.settings_base import ConflictingSettings, Name, SettingsModel, without_empty
from app.settings.site_settings import OnUnknown, Site
from app.settings.text_types import ClientId, Secret, StrongSecret
from app.settings.urls import BaseAddress, DatabaseAddress

Scope = Literal["callbacks:write", "callbacks:read", "chaser:read"]
_DIGEST_OF_NOTHING = sha256(b"").hexdigest()


def _network(value: Any) -> IPv4Network | IPv6Network:
    return parse_networks([str(value)])[0]


def _address(value: Any) -> str:
    try:
        return str(ip_address(str(value).strip()))
    except ValueError:
        raise ValueError("write an IP address such as 127.0.0.1, or 0.0.0.0 for all") from None


def _digest(value: Any) -> str:
    digest = str(value).strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("write the 64 hexadecimal digits that `chaser-callback api-key new` prints")
    if digest == _DIGEST_OF_NOTHING:
        raise ValueError("this is the SHA-256 of an empty key: make a key with `chaser-callback api-key new`")
    return digest


class Chaser(SettingsModel):
    """The Chaser account that sites use unless they name their own."""

    client_id: Annotated[ClientId, Field(description="the client_id of your account at Chaser")]
    private_key: Annotated[Secret, Field(description="the private key of your account at Chaser")]
    api_url: BaseAddress = "https://api.chaser.ru/v1/"
    timeout: Annotated[timedelta, duration("1s", "2m")] = timedelta(seconds=10)


class FloodLimits(SettingsModel):
    """What one client bucket may ask of one process; see edge/limits.py."""

    flood: Limits = parse_limits("60/minute")


class Quotas(SettingsModel):
    """What people and money are protected with; exact, counted in the database."""

    per_phone: Limits = parse_limits("3/hour;5/day")
    per_client: Limits = parse_limits("20/hour")
    per_client_phones: Limits = parse_limits("10/hour")
    per_site: Limits = parse_limits("500/day")


class ApiKey(SettingsModel):
    """A key of another service. Only the SHA-256 of the key is known here."""

    sha256: Annotated[
        str, BeforeValidator(_digest), Field(description="what `chaser-callback api-key new` prints for this key")
    ]
    scopes: Annotated[
        tuple[Scope, ...], CommaList, Field(min_length=1, description="what the key may do, such as callbacks:write")
    ]
    sites: Annotated[tuple[Name, ...], CommaList] = ()


class Settings(SettingsModel):
    """Everything that can be set. Field names are the setting names in lower case; ``__`` steps into a part."""

    chaser: Chaser
    sites: Annotated[dict[Name, Site], Field(min_length=1)]
    database_url: Annotated[DatabaseAddress, Field(repr=False)] = "sqlite:///data/callbacks.db"
    secret_key: StrongSecret | None = None
    trusted_proxies: Annotated[
        tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...], CommaList
    ] = ()
    docs: Annotated[bool, boolean()] = True
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
    duplicate_window: Annotated[timedelta, duration("1s", "1d")] = timedelta(minutes=2)
    api_keys: dict[Name, ApiKey] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, values: Any) -> Any:
        # With a table for the account its settings are missing one by one, each with its own cure.
        return {"chaser": {}} | without_empty(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _agree(self) -> Self:
        found = list(cross_checks(self))
        if found:
            raise ConflictingSettings(found)
        return self

    def accounts(self) -> Iterator[tuple[str, SecretStr]]:
        """Give every Chaser account in use once: its client_id and private key."""
        found = {self.chaser.client_id: self.chaser.private_key}
        for site in self.sites.values():
            if site.client_id is not None and site.private_key is not None:
                found[site.client_id] = site.private_key
        yield from found.items()

    def secret(self) -> bytes:
        """Give the key for what this service signs itself.

        Without SECRET_KEY it is derived from the Chaser private key: the same on every replica, changed when that key
        is changed, and slow to compute, so that nobody can test guesses of the private key against what we sign.
        """
        if self.secret_key is not None:
            return self.secret_key.get_secret_value().encode()
        private = self.chaser.private_key.get_secret_value().encode()
        return scrypt(private, salt=b"chaser-callback SECRET_KEY", n=2**14, r=8, p=1, dklen=32)
