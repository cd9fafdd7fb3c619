"""What the routes work with: made once by main.py and kept in the application's state."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Header, Request

from app.chaser import ChaserClient
from app.edge.api_keys import scoped_key
from app.edge.challenge_difficulty import Pressure
from app.edge.proof_of_work import Challenges
from app.metrics import Metrics
from app.net.origins import Origins
from app.outbox.accepting import AcceptRules
from app.outbox.outbox import Outbox
from app.routes.in_flight import UnderWay
from app.settings import ApiKey, Scope, Settings


class Delivery(Protocol):
    """What health and metrics need to know of the delivery."""

    @property
    def running(self) -> bool:
        """Tell whether the worker is alive."""

    @property
    def paused_accounts(self) -> int:
        """Count the accounts that nothing is sent for."""

    def is_paused(self, account: str, site: str) -> bool:
        """Tell whether callbacks of a site wait because Chaser refuses them."""


@dataclass(frozen=True, slots=True)
class Services:
    """``origins`` and ``rules`` by site; ``secret`` signs what is ours; ``clock`` gives the time in UTC.

    ``api_keys`` are those of the settings and the operator's. ``pressure`` knows how much the challenges have to ask
    for, ``challenges`` gives and reads them. ``chaser`` gives the client of an account by its client_id, None when the
    settings don't have it, and ``questions`` bounds how many are asked for others at the same time: each answer may be
    8 MiB large, and delivery goes on beside. ``under_way`` knows the keys of the requests that are being accepted.
    """

    settings: Settings
    api_keys: Mapping[str, ApiKey]
    outbox: Outbox
    delivery: Delivery
    chaser: Callable[[str], ChaserClient | None]
    origins: dict[str, Origins]
    rules: dict[str, AcceptRules]
    secret: bytes = field(repr=False)
    clock: Callable[[], datetime]
    challenges: Challenges
    pressure: Pressure
    under_way: UnderWay
    questions: asyncio.Semaphore
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


Given = Annotated[Services, Depends(_services)]
Authorization = Annotated[str | None, Header(include_in_schema=False)]


def key_with(scope: Scope) -> Callable[..., Awaitable[str]]:
    """Make the dependency of an endpoint that can't do without a key: it gives the key's name.

    FastAPI asks it before it looks at the rest of the request, so whoever may not ask is told that, and nothing else.
    """

    async def key(services: Given, authorization: Authorization = None) -> str:
        return scoped_key(authorization, services.api_keys, scope)

    return key
