"""GET /metrics for Prometheus: with an API key on the public port, without one on the metrics port."""

import asyncio
from datetime import timedelta
from typing import Annotated

from async_lru import alru_cache
from fastapi import APIRouter, Depends, Header, Response
from prometheus_client.exposition import choose_encoder

from app.edge.api_keys import require_unbound
from app.errors import UnavailableError
from app.outbox.callback import Status
from app.outbox.outbox import Outbox
from app.outbox.queue_stats import QueueDepth, queue_stats
from app.routes.dependencies import Services, ServicesDep, require_key
from app.routes.exception_handlers import responses

_MAX_AGE = 1.0  # seconds for which queue statistics are reused: otherwise each scrape would query the database
QUERY_TIMEOUT = 3.0  # seconds; below Prometheus' default scrape timeout of ten, so that the rest is still scraped

_TEXT = {"text/plain": {"schema": {"type": "string"}}}


class MetricsCollector:
    """The response of GET /metrics. The queue query is shared by concurrent scrapes and cached for `_MAX_AGE`."""

    def __init__(self) -> None:
        self._read = alru_cache(maxsize=1, ttl=_MAX_AGE)(Outbox.read)

    async def render(self, services: Services, accept: str | None) -> Response:
        """Return all metrics in the format that the `Accept` header requests: Prometheus text or OpenMetrics.

        If the database does not answer within `QUERY_TIMEOUT`, the queue metrics are left out. Nothing is awaited
        between setting and encoding the metrics, so that a concurrent scrape never sees half of them.
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
                status: (depth.count, now - depth.since if depth.since else timedelta())
                for status, depth in queue.items()
            }
        )
        encode, content_type = choose_encoder(accept or "")
        return Response(encode(metrics.registry), headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def _queue(self, outbox: Outbox) -> dict[Status, QueueDepth] | None:
        try:
            async with asyncio.timeout(QUERY_TIMEOUT):
                queue: dict[Status, QueueDepth] = await self._read(outbox, queue_stats)
        except (TimeoutError, UnavailableError):
            return None
        return queue


def metrics_router(collector: MetricsCollector) -> APIRouter:
    """Return the router of the public port."""
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
        """Return the counters of this process and the depth of the queue.

        Needs the scope `callbacks:read`, and a key that is not bound to sites.
        """
        require_unbound(key, services.api_keys)
        return await collector.render(services, accept)

    return router


def open_metrics_router(collector: MetricsCollector) -> APIRouter:
    """Return the router of the metrics port, which needs no API key."""
    router = APIRouter()

    @router.get("/metrics")
    async def metrics(services: ServicesDep, accept: Annotated[str | None, Header()] = None) -> Response:
        return await collector.render(services, accept)

    return router
