"""Options of a simulator: accounts, their sites and working hours, and the address of the service under test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

DEMO_CLIENT_ID = "4711"
DEMO_PRIVATE_KEY = "demo-private-key"
DEMO_SITE_ID = "12345"
DEMO_SITE_NAME = "shop.example"
DEMO_MANAGER_PHONE = "74951234567"


@dataclass(frozen=True)
class WorkingHours:
    """The working hours of a site: from `opens` to `closes` o'clock (0-24) on `days` (0 is Monday) in `timezone`.

    Raises ValueError if no hour or no day is open, ZoneInfoNotFoundError for an unknown time zone.
    """

    opens: int = 9
    closes: int = 18
    days: frozenset[int] = frozenset({0, 1, 2, 3, 4})
    timezone: str = "Europe/Moscow"

    def __post_init__(self) -> None:
        if not 0 <= self.opens < self.closes <= 24:
            raise ValueError(f"working hours {self.opens}-{self.closes}: need 0 <= opens < closes <= 24")
        if not self.days or not self.days <= set(range(7)):
            raise ValueError("working days: at least one, from 0 (Monday) to 6 (Sunday)")
        ZoneInfo(self.timezone)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the hours."""
        return ZoneInfo(self.timezone)


ALWAYS_OPEN: Final = WorkingHours(0, 24, frozenset(range(7)))


@dataclass(frozen=True)
class Site:
    """One site of an account, as `websites` lists it. `manager_phone` rings if a call has no manager_phone."""

    id: str
    name: str
    title: str = ""
    manager_phone: str = DEMO_MANAGER_PHONE
    hours: WorkingHours = field(default_factory=WorkingHours)


@dataclass(frozen=True)
class Account:
    """A client of the API: its id, the key that signs its requests, and its sites."""

    client_id: str
    private_key: str
    sites: tuple[Site, ...] = ()


DEMO_ACCOUNT = Account(
    DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, (Site(DEMO_SITE_ID, DEMO_SITE_NAME, "The demonstration shop"),)
)


@dataclass(frozen=True)
class Options:
    """All options of a simulator.

    `ring_seconds`: how long a phone rings before the call is over. `service_url`: the origin from which the demo shop
    loads the widget. Raises ValueError if an id of an account or a site occurs twice, or a site id is not digits.
    """

    accounts: tuple[Account, ...] = (DEMO_ACCOUNT,)
    service_url: str = "http://127.0.0.1:8000"
    ring_seconds: float = 4.0

    def __post_init__(self) -> None:
        clients = [account.client_id for account in self.accounts]
        sites = [site.id for account in self.accounts for site in account.sites]
        for kind, ids in (("client_id", clients), ("site id", sites)):
            if len(set(ids)) != len(ids):
                raise ValueError(f"each {kind} may appear once: {', '.join(sorted(ids))}")
        invalid = [site for site in sites if not (site.isascii() and site.isdigit())]
        if invalid:
            raise ValueError(f"a site id consists of digits: {', '.join(invalid)}")

    @classmethod
    def of(cls, keys: Mapping[str, str], sites: Mapping[str, tuple[Site, ...]]) -> "Options":
        """Create options from {client_id: private_key} and {client_id: sites}; the others keep their defaults."""
        return cls(tuple(Account(client_id, key, sites.get(client_id, ())) for client_id, key in keys.items()))

    def account(self, client_id: str) -> Account | None:
        """Return the account with this id, or None."""
        return next((account for account in self.accounts if account.client_id == client_id), None)

    def site(self, site_id: str) -> tuple[Account, Site] | None:
        """Return the account and the site with this site id, or None."""
        return next(
            ((account, site) for account in self.accounts for site in account.sites if site.id == site_id), None
        )
