"""GET /metrics: what Prometheus asks for, with an API key on the public port, and without one on a port of its own."""

import asyncio
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response
from prometheus_client.exposition import choose_encoder

from app.edge.api_keys import require_unbound
from app.errors import UnavailableError
from app.outbox.callback import Status
from app.outbox.outbox import Outbox
from app.outbox.queue_stats import QueueDepth
from app.outbox.shared_look import SharedLook
from app.routes.dependencies import Services, ServicesDep, require_key
from app.routes.exception_handlers import responses

_FRESH = 1.0  # seconds for which what the database said is repeated, however many ask
PATIENCE = 3.0  # seconds after which it counts as away; Prometheus itself gives up after ten

_TEXT = {"text/plain": {"schema": {"type": "string"}}}


class MetricsCollector:
    """Everything there is to tell at this moment. One look at the queue at a time, shared by all who ask."""

    def __init__(self) -> None:
        self._look: SharedLook[dict[Status, QueueDepth]] | None = None

    async def render(self, services: Services, accept: str | None) -> Response:
        """Give it in the format that the Accept header asks for. A database that is away is told, and waited for 3 s.

        Between setting and telling nothing is awaited, so one who asks at the same time gets nothing half set.
        """
        queue = await self._queue(services.outbox)
        delivery, metrics = services.delivery, services.metrics
        metrics.show_delivery(
            running=delivery.running, paused=services.paused_sites(), accounts=delivery.open_account_circuits
        )
        now = services.clock()
        metrics.show_queue(
            None
            if queue is None
            else {
                status: (line.count, now - line.since if line.since else timedelta()) for status, line in queue.items()
            }
        )
        encode, content_type = choose_encoder(accept or "")
        return Response(encode(metrics.registry), headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def _queue(self, outbox: Outbox) -> dict[Status, QueueDepth] | None:
        self._look = self._look or SharedLook(outbox.queue_stats)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._look.answer(_FRESH)
        except (TimeoutError, UnavailableError):
            return None


def metrics_router(scrape: MetricsCollector) -> APIRouter:
    """Make the route of the public port."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/metrics",
        response_class=Response,
        responses=responses(401, 403) | {200: {"content": _TEXT}},
        summary="Metrics for Prometheus",
    )
    async def metrics(
        services: ServicesDep,
        key: Annotated[str, Depends(require_key("callbacks:read"))],
        accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Response:
        """Tell what this process has counted, and what waits. Needs the scope callbacks:read for all sites."""
        require_unbound(key, services.api_keys)
        return await scrape.render(services, accept)

    return router


def open_metrics_router(scrape: MetricsCollector) -> APIRouter:
    """Make the route of the port of its own, where nobody is asked for a key."""
    router = APIRouter()

    @router.get("/metrics")
    async def metrics(services: ServicesDep, accept: Annotated[str | None, Header()] = None) -> Response:
        return await scrape.render(services, accept)

    return router
