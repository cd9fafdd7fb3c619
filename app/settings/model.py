"""All settings of the service as one frozen value. Reads nothing: see sources.py."""

from collections.abc import Iterator
from datetime import timedelta
from hashlib import scrypt
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from app.edge.client_address import parse_networks
from app.settings.notation import Duration, Limits, Listed, RealSecret, RealText, Schedule, parse_limits, split_list
from app.settings.site import Name, Part, Site

Scope = Literal["callbacks:write", "callbacks:read", "chaser:read"]


def _networks(value: Any) -> tuple[IPv4Network | IPv6Network, ...]:
    parts = split_list(value)
    return parse_networks([str(part) for part in parts])


def _database(value: Any) -> str:
    url = str(value).strip()
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///") and ":memory:" not in url:
        return url
    if url.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
        return "postgresql+psycopg://" + url.partition("://")[2]
    raise ValueError("write sqlite:///path/to/callbacks.db or postgresql://user:password@host/database")


class Chaser(Part):
    """The Chaser account that sites use unless they name their own."""

    client_id: RealText
    private_key: RealSecret
    api_url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")] = "https://api.chaser.ru/v1/"
    timeout: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(minutes=2))] = timedelta(seconds=10)


class FloodLimits(Part):
    """What one client bucket may ask of one process; see edge/limits.py."""

    flood: Limits = parse_limits("60/minute")


class Quotas(Part):
    """What people and money are protected with; exact, counted in the database."""

    per_phone: Limits = parse_limits("3/hour;5/day")
    per_client: Limits = parse_limits("20/hour")
    per_client_phones: Limits = parse_limits("10/hour")
    per_site: Limits = parse_limits("500/day")


class ApiKey(Part):
    """A key of another service. Only the SHA-256 of the key is known here."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Listed, Field(min_length=1)]
    sites: Annotated[tuple[Name, ...], Listed] = ()


class Settings(Part):
    """Everything that can be set. Field names are the setting names in lower case; ``__`` steps into a part."""

    chaser: Chaser
    sites: Annotated[dict[Name, Site], Field(min_length=1)]
    database_url: Annotated[str, BeforeValidator(_database)] = "sqlite:///data/callbacks.db"
    secret_key: Annotated[RealSecret, Field(min_length=32)] | None = None
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)] = ()
    limits: FloodLimits = FloodLimits()
    quotas: Quotas = Quotas()
    retry_schedule: Annotated[Schedule, Field(validate_default=True)] = (
        timedelta(seconds=5),
        timedelta(seconds=15),
        timedelta(minutes=1),
        timedelta(minutes=5),
    )
    give_up_after: Duration = timedelta(hours=2)
    on_unknown: Literal["resend_once", "hold"] = "resend_once"
    keep_personal_data: Duration = timedelta(days=90)
    duplicate_window: Duration = timedelta(minutes=2)
    api_keys: dict[Name, ApiKey] = Field(default={})

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.retry_schedule[0] >= self.give_up_after:
            raise ValueError("RETRY_SCHEDULE starts later than GIVE_UP_AFTER: make the first wait shorter")
        if self.keep_personal_data < self.give_up_after + timedelta(days=15):
            raise ValueError(
                "KEEP_PERSONAL_DATA would erase numbers that still wait (a call may be planned 14 days ahead): "
                "set at least 16d"
            )
        keys = {name: site.private_key or self.chaser.private_key for name, site in self.sites.items()}
        for name, site in self.sites.items():
            if site.client_id == self.chaser.client_id and keys[name] != self.chaser.private_key:
                raise ValueError(f"SITES__{name.upper()}__CLIENT_ID is CHASER__CLIENT_ID with another private key")
        for name, key in self.api_keys.items():
            unknown = [site for site in key.sites if site not in self.sites]
            if unknown:
                raise ValueError(f"API_KEYS__{name.upper()}__SITES names a site that is not among SITES__...")
        return self

    def accounts(self) -> Iterator[tuple[str, SecretStr]]:
        """Give every Chaser account in use once: its client_id and private key."""
        found = {self.chaser.client_id: self.chaser.private_key}
        for site in self.sites.values():
            if site.client_id is not None and site.private_key is not None:
                found.setdefault(site.client_id, site.private_key)
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
