"""The services that routes depend on, created once by `main.py` and stored in the state of the application."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from app.admission.conductor import Admission
from app.chaser import ChaserClient
from app.delivery.worker import Worker
from app.edge.api_keys import caller_of, require_scope
from app.edge.challenge_difficulty import AdaptiveDifficulty
from app.edge.proof_of_work import Challenges
from app.errors import UnauthenticatedError
from app.metrics import Metrics
from app.net.origins import Origins
from app.outbox.outbox import Outbox
from app.routes.in_flight import InFlightKeys
from app.settings import ApiKey, Scope, Settings


@dataclass(frozen=True, slots=True)
class Services:
    """The dependencies of all routes.

    `api_keys`: the keys of the settings and the operator's rights, by name. `chaser`: returns the client of an account
    by its `client_id`, None for an unknown one. `origins`: by site. `secret`: hashes fingerprints. `clock`: returns the
    present time in UTC. `challenges`: issues and verifies proofs of work with the difficulty from `difficulty`.
    `in_flight`: the idempotency keys of requests that are being accepted. `upstream_slots`: limits concurrent queries
    to Chaser, because each response may hold 8 MiB of memory.
    """

    settings: Settings
    started_at: datetime
    api_keys: Mapping[str, ApiKey]
    outbox: Outbox
    delivery: Worker
    chaser: Callable[[str], ChaserClient | None]
    origins: dict[str, Origins]
    admission: Admission
    secret: bytes = field(repr=False)
    clock: Callable[[], datetime]
    challenges: Challenges
    difficulty: AdaptiveDifficulty
    in_flight: InFlightKeys
    upstream_slots: asyncio.Semaphore
    metrics: Metrics

    def paused_sites(self) -> dict[str, bool]:
        """Return for each site whether its callbacks wait because Chaser refuses its account or the site itself."""
        return {name: self.delivery.is_paused(self.settings.account_of(name), name) for name in self.settings.sites}


async def _services(request: Request) -> Services:  # async: FastAPI runs plain functions in a thread
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]


def require_key(scope: Scope) -> Callable[..., Awaitable[str]]:
    """Return a FastAPI dependency that requires an API key with a scope, and resolves to the name of the key.

    The dependency raises UnauthenticatedError without a known key and ForbiddenError without the scope. FastAPI
    resolves it before it validates the request: a client without the right learns nothing about other errors in it.
    """

    async def key(request: Request, services: ServicesDep) -> str:
        name = caller_of(request, services.api_keys)
        if name is None:
            raise UnauthenticatedError("missing_api_key", "This needs an API key. Send: Authorization: Bearer <key>.")
        require_scope(name, services.api_keys, scope)
        return name

    return key
