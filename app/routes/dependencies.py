"""What the routes work with: made once by main.py and kept in the application's state."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Header, Request

from app.chaser import ChaserClient
from app.edge.api_keys import scoped_key
from app.edge.challenge_difficulty import AdaptiveDifficulty
from app.edge.proof_of_work import Challenges
from app.metrics import Metrics
from app.net.origins import Origins
from app.outbox.accepting import AdmissionConfig
from app.outbox.outbox import Outbox
from app.routes.in_flight import InFlightKeys
from app.settings import ApiKey, Scope, Settings


class Delivery(Protocol):
    """What health and metrics need to know of the delivery."""

    @property
    def running(self) -> bool:
        """Tell whether the worker is alive."""

    @property
    def open_account_circuits(self) -> int:
        """Count the accounts that nothing is sent for."""

    def is_paused(self, account: str, site: str) -> bool:
        """Tell whether callbacks of a site wait because Chaser refuses them."""


@dataclass(frozen=True, slots=True)
class Services:
    """``origins`` and ``rules`` by site; ``secret`` signs what is ours; ``clock`` gives the time in UTC.

    ``api_keys`` are those of the settings and the operator's. ``pressure`` knows how much the challenges have to ask
    for, ``challenges`` gives and reads them. ``chaser`` gives the client of an account by its client_id, None when the
    settings don't have it, and ``upstream_slots`` bounds the requests to Chaser at one time: each answer may be
    8 MiB large, and delivery goes on beside. ``in_flight`` knows the keys of the requests that are being accepted.
    """

    settings: Settings
    api_keys: Mapping[str, ApiKey]
    outbox: Outbox
    delivery: Delivery
    chaser: Callable[[str], ChaserClient | None]
    origins: dict[str, Origins]
    rules: dict[str, AdmissionConfig]
    secret: bytes = field(repr=False)
    clock: Callable[[], datetime]
    challenges: Challenges
    difficulty: AdaptiveDifficulty
    in_flight: InFlightKeys
    upstream_slots: asyncio.Semaphore
    metrics: Metrics

    def paused_sites(self) -> dict[str, bool]:
        """Tell of each site whether its callbacks wait because Chaser refuses them."""
        general = self.settings.chaser.client_id
        return {
            name: self.delivery.is_paused(site.client_id or general, name) for name, site in self.settings.sites.items()
        }


async def _services(request: Request) -> Services:  # not plain, or each request would change threads for it
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
Authorization = Annotated[str | None, Header(include_in_schema=False)]


def require_key(scope: Scope) -> Callable[..., Awaitable[str]]:
    """Make the dependency of an endpoint that can't do without a key: it gives the key's name.

    FastAPI asks it before it looks at the rest of the request, so whoever may not ask is told that, and nothing else.
    """

    async def key(services: ServicesDep, authorization: Authorization = None) -> str:
        return scoped_key(authorization, services.api_keys, scope)

    return key
