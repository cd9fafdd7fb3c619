"""Wiring: makes the application from its settings. Nobody imports this but the entry points."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.chaser import ChaserClient
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.delivery_config import DeliveryConfig
from app.delivery.retry_policy import Outcome, RetryPolicy
from app.delivery.shutdown import Shutdown
from app.delivery.worker import POLL_INTERVAL, Worker
from app.edge.challenge_difficulty import AdaptiveDifficulty
from app.edge.cors import Cors
from app.edge.flood_limit import FloodLimit
from app.edge.operator_key import with_operator
from app.edge.proof_of_work import Challenges
from app.edge.request_body import BodyLimit
from app.edge.request_context import RequestContextMiddleware
from app.errors import UnavailableError
from app.logs import event
from app.metrics import Metrics
from app.net.origins import Origins
from app.outbox.accepting import AdmissionConfig
from app.outbox.database import DatabaseError
from app.outbox.outbox import Outbox
from app.outbox.quotas import Quotas
from app.routes import (
    blocklist_routes,
    callback_action_routes,
    callback_query_routes,
    callback_routes,
    challenge_routes,
    chaser_routes,
    health_routes,
    site_routes,
    widget_routes,
)
from app.routes.dependencies import Services
from app.routes.exception_handlers import register_exception_handlers
from app.routes.in_flight import InFlightKeys
from app.routes.metrics_routes import MetricsCollector, metrics_router, open_metrics_router
from app.routes.openapi import DESCRIPTION, documentation_router
from app.settings import Settings, Site
from app.version import VERSION

log = logging.getLogger(__name__)

_QUESTIONS = 4  # asked of Chaser at once for other services
_CLOSE = 0.5  # seconds for the database; one that hangs would keep us for ever
# Logs and metrics are our own, and what others would export holds addresses.
_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}


def utc_now() -> datetime:
    """Give the present time."""
    return datetime.now(UTC)


class Application:
    """The service as an ASGI application.

    ``metrics``: what is counted. ``open_metrics``: an application for a port of its own, that tells it to whoever asks.
    """

    def __init__(self, app: ASGIApp, shutdown: Shutdown, metrics: Metrics, open_metrics: ASGIApp) -> None:
        self._app = app
        self._shutdown = shutdown
        self.metrics = metrics
        self.open_metrics = open_metrics

    def end(self) -> None:
        """Take no new work from the queue, from now on: the end of the lifespan may still have to wait for visitors."""
        self._shutdown.request()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; but when the lifespan fails, say why in one line instead of by a traceback."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def sending(message: Message) -> None:
            if message["type"].endswith(".failed"):
                failed.append(message)
            else:
                await send(message)

        why = ""
        try:
            await self._app(scope, receive, sending)
        except DatabaseError as unusable:
            why = str(unusable)
        except Exception:
            log.exception("service.unexpected_error")
        for message in failed:
            await send({**message, "message": why})


def create_app(
    settings: Settings,
    *,
    outbox: Outbox | None = None,
    clock: Callable[[], datetime] = utc_now,
    poll_interval: float = POLL_INTERVAL,
) -> Application:
    """Make the service. Its lifespan runs the worker, and closes the outbox, which it opens when none is given.

    ``poll_interval``: seconds between the worker's looks at the clock and the database.
    """
    opened = outbox
    shutdown = Shutdown()
    metrics, scrape = Metrics(settings.sites, tuple(Outcome)), MetricsCollector()
    secret = settings.secret()
    api_keys = with_operator(settings.api_keys, secret)
    origins = {name: Origins(site.origins) for name, site in settings.sites.items()}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            outbox = opened or Outbox.open(settings.database_url)
            stack.push_async_callback(_close, outbox)
            _warn(settings)
            accounts = CircuitBreakers(_clients(settings, clock))
            stack.push_async_callback(accounts.aclose)
            rules = _delivery_rules(settings)
            worker = Worker(outbox, accounts, rules, clock, shutdown, metrics, poll_interval=poll_interval)
            stack.push_async_callback(worker.stop)
            app.state.services = open_metrics.state.services = Services(
                settings=settings,
                api_keys=api_keys,
                outbox=outbox,
                delivery=worker,
                chaser=accounts.client,
                origins=origins,
                rules={name: _accept_rules(settings, site) for name, site in settings.sites.items()},
                secret=secret,
                clock=clock,
                challenges=Challenges(secret, clock),
                difficulty=AdaptiveDifficulty(),
                in_flight=InFlightKeys(),
                upstream_slots=asyncio.Semaphore(_QUESTIONS),
                metrics=metrics,
            )
            try:
                await worker.start()
            except UnavailableError:
                raise DatabaseError(
                    "DATABASE_URL: the database opened, but what waits in it could not be read or written: "
                    "check what it says in the line above, then start again"
                ) from None
            yield

    app = FastAPI(
        title="Chaser Callback",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,
        telemetry=_TELEMETRY,
    )
    register_exception_handlers(app)
    open_metrics = FastAPI(openapi_url=None, telemetry=_TELEMETRY)
    register_exception_handlers(open_metrics)
    open_metrics.include_router(open_metrics_router(scrape))
    for router in (
        callback_routes.router,
        callback_query_routes.router,
        callback_action_routes.router,
        challenge_routes.router,
        site_routes.router,
        blocklist_routes.router,
        chaser_routes.router,
        health_routes.health_router(),
        metrics_router(scrape),
        widget_routes.widget_router(),
    ):
        app.include_router(router)
    if settings.docs:
        app.include_router(documentation_router(app))
    limited = FloodLimit(BodyLimit(app), settings.limits.flood, api_keys)
    enveloped = RequestContextMiddleware(limited, settings.trusted_proxies, metrics)
    return Application(
        Cors(enveloped, origins.values(), metrics),
        shutdown,
        metrics,
        RequestContextMiddleware(open_metrics, (), metrics),
    )


def _warn(settings: Settings) -> None:
    for name, site in settings.sites.items():
        if site.challenge is None and site.plain_origins:
            advice = (
                "its pages without HTTPS can't solve the challenge, so it is off: use https, or set CHALLENGE to off"
            )
            event(log, "site.challenge_disabled", logging.WARNING, site=name, origins=site.plain_origins, advice=advice)


async def _close(outbox: Outbox) -> None:
    """Close it beside the event loop, and leave it to its fate when it takes too long."""
    closing = threading.Thread(target=outbox.close, name="outbox-closing", daemon=True)
    closing.start()
    until = time.monotonic() + _CLOSE
    while closing.is_alive():
        if time.monotonic() > until:
            event(log, "outbox.close_timeout", logging.WARNING)
            return
        await asyncio.sleep(0.01)


def _clients(settings: Settings, clock: Callable[[], datetime]) -> dict[str, ChaserClient]:
    timeout = settings.chaser.timeout.total_seconds()
    return {
        client_id: ChaserClient(client_id, key, api_url=settings.chaser.api_url, timeout=timeout, clock=clock)
        for client_id, key in settings.accounts()
    }


def _delivery_rules(settings: Settings) -> DeliveryConfig:
    general = RetryPolicy(settings.retry_schedule, settings.on_unknown, settings.resend_after)
    by_site = {
        name: replace(general, on_unknown=site.on_unknown) for name, site in settings.sites.items() if site.on_unknown
    }
    return DeliveryConfig(
        timeout=settings.chaser.timeout,
        calls_at_once=settings.calls_at_once,
        calls_per_second=settings.calls_per_second,
        keep_personal_data=settings.keep_personal_data,
        general=general,
        by_site=by_site,
    )


def _accept_rules(settings: Settings, site: Site) -> AdmissionConfig:
    general, own = settings.quotas, site.quotas
    quotas = Quotas(
        per_phone=general.per_phone,
        per_client=own.per_client or general.per_client,
        per_client_phones=own.per_client_phones or general.per_client_phones,
        per_site=own.per_site or general.per_site,
    )
    return AdmissionConfig(settings.duplicate_window, quotas)
