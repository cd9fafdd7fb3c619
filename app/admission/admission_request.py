"""The values of admission: a request to decide about, the limits that apply, and the decision."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.errors import ServiceError
from app.outbox.callback import AcceptResult, Callback, RequestKey, Status
from app.outbox.phone_callbacks import RingTime
from app.outbox.rings import Limit, Limits


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """A validated request. `nonce` is that of its solved challenge, None without one.

    `address_blocked` and `phone_blocked` are what the blocklist says.
    """

    callback: Callback
    key: RequestKey | None = None
    nonce: str | None = None
    address_blocked: bool = False
    phone_blocked: bool = False

    @property
    def now(self) -> datetime:
        """The moment of the request, by this process's clock."""
        return self.callback.created_at

    @property
    def user(self) -> str:
        """The name under which the request uses its challenge, the same for a retry with the same request key.

        The fingerprint is part of it, so one key cannot use a challenge for several phones. Without a key the request
        has a name of its own.
        """
        if self.key is None:
            return self.callback.id
        named = "\0".join((self.key.scope, self.key.key, self.key.fingerprint))
        return hashlib.sha256(named.encode()).hexdigest()[: len(self.callback.id)]


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits in force for one site.

    `per_address` counts requests and `per_address_phones` different phones, both of one address at this site.
    `per_site` counts rings, `held_per_site` held requests.
    """

    per_address: Limits
    per_address_phones: Limits
    per_site: Limits
    held_per_site: Limits


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """What decides besides the stored data. `per_phone` counts rings over all sites; `quotas` is by site."""

    duplicate_window: timedelta
    per_phone: Limits
    quotas: Mapping[str, Quotas]
    ring_time: RingTime = field(repr=False)


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """A site has used `percent` of a limit, counting the callback accepted at `at`."""

    site: str
    limit: Limit
    percent: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Merge:
    """A request is merged into the callback `into`, which is to be sent until `give_up_at` at least.

    `due_at` is when a waiting attempt becomes due at the latest, None to leave its time.
    """

    into: str
    give_up_at: datetime
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that is stored: its callback with its status.

    `duplicate_of` is the callback that covers it. `again_of` is the request that it repeats because no phone rang,
    `again_chain` the first one of such a chain.
    """

    callback: Callback
    status: Status
    duplicate_of: str | None = None
    again_of: str | None = None
    again_chain: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request. `answer` goes to its sender, an error refuses it.

    `admitted` is None for a refusal and a replay. `budget` is the usage of the site's limits that is worth a warning.
    """

    answer: AcceptResult | ServiceError
    admitted: Admitted | None = None
    merge: Merge | None = None
    budget: tuple[BudgetUsage, ...] = ()
