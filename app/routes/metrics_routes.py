"""GET /metrics for Prometheus: with an API key on the public port, without one on the metrics port."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

from async_lru import alru_cache
from fastapi import APIRouter, Depends, Header, Response
from prometheus_client.exposition import choose_encoder

from app.edge.api_keys import require_unbound
from app.errors import UnavailableError
from app.outbox.outbox import Outbox
from app.outbox.queue_stats import queue_stats
from app.routes.dependencies import ServicesDep, require_key
from app.routes.exception_handlers import responses

_MAX_AGE = 1.0  # seconds for which queue statistics are reused: otherwise each scrape would query the database
QUERY_TIMEOUT = 3.0  # seconds; below Prometheus' default scrape timeout of ten, so that the rest is still scraped

Accept = Annotated[str | None, Header(include_in_schema=False)]
_TEXT = {"text/plain": {"schema": {"type": "string"}}}


def metrics_routers() -> tuple[APIRouter, APIRouter]:
    """Return the routers of the public port, which needs an API key, and of the metrics port, which needs none.

    They share the queue query, which is cached for `_MAX_AGE`.
    """
    read = alru_cache(maxsize=1, ttl=_MAX_AGE)(Outbox.read)
    public, open_ = APIRouter(tags=["health"]), APIRouter()

    @open_.get("/metrics")
    async def render(services: ServicesDep, accept: Accept = None) -> Response:
        """Return all metrics in the format that the `Accept` header requests: Prometheus text or OpenMetrics.

        If the database does not answer within `QUERY_TIMEOUT`, the queue metrics are left out. Nothing is awaited
        between setting and encoding the metrics, so that a concurrent scrape never sees half of them.
        """
        queue = None
        with suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(QUERY_TIMEOUT):
                queue = await read(services.outbox, queue_stats)
        delivery, metrics, now = services.delivery, services.metrics, services.clock()
        metrics.show_delivery(
            running=delivery.running, paused=services.paused_sites(), accounts=delivery.open_account_circuits
        )
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

    @public.get(
        "/metrics",
        response_class=Response,
        responses=responses(401, 403) | {200: {"content": _TEXT}},
        summary="Metrics for Prometheus",
    )
    async def metrics(
        services: ServicesDep, key: Annotated[str, Depends(require_key("callbacks:read"))], accept: Accept = None
    ) -> Response:
        """Return the counters of this process and the depth of the queue.

        Needs the scope `callbacks:read`, and a key that is not bound to sites.
        """
        require_unbound(key, services.api_keys)
        return await render(services, accept)

    return public, open_
