"""Composition root: builds the application from its settings. Imported only by entry points."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.admission.admission_config import admission_config, ring_times
from app.admission.conductor import Admission
from app.chaser import ChaserClient
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.delivery_config import DeliveryConfig
from app.delivery.retry_policy import Outcome, RetryPolicy
from app.delivery.shutdown import Shutdown
from app.delivery.worker import POLL_INTERVAL, Worker
from app.edge.api_keys import with_operator
from app.edge.challenge_difficulty import AdaptiveDifficulty
from app.edge.cors import Cors
from app.edge.flood_limit import FloodLimit
from app.edge.proof_of_work import Challenges
from app.edge.request_body import BodyLimit
from app.edge.request_context import RequestContextMiddleware
from app.errors import UnavailableError
from app.logs import event
from app.metrics import Metrics
from app.net.origins import Origins
from app.outbox.database import DatabaseError
from app.outbox.outbox import Outbox
from app.outbox.phone_callbacks import PhoneCap
from app.outbox.rings import limits_of
from app.outbox.secret_store import load_secrets
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
from app.routes.metrics_routes import metrics_routers
from app.routes.openapi import DESCRIPTION, documentation_router
from app.settings import Settings
from app.version import VERSION

log = logging.getLogger(__name__)

_UPSTREAM_SLOTS = 4  # concurrent requests to Chaser on behalf of API clients
_CLOSE_TIMEOUT = 0.5  # seconds; otherwise a database that hangs would block the shutdown forever
# The service has its own logs and metrics. FastAPI's telemetry would export IP addresses.
_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Application:
    """The service as an ASGI application.

    `metrics`: its metrics. `open_metrics`: an ASGI application that serves them without authentication, for a port of
    its own.
    """

    def __init__(self, app: ASGIApp, shutdown: Shutdown, metrics: Metrics, open_metrics: ASGIApp) -> None:
        self._app = app
        self._shutdown = shutdown
        self.metrics = metrics
        self.open_metrics = open_metrics

    def end(self) -> None:
        """Stop claiming callbacks now. The lifespan ends later, after the requests in flight."""
        self._shutdown.request()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on to the application. If the lifespan fails, report the reason in one line instead of a traceback."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def send_unless_failed(message: Message) -> None:
            if message["type"].endswith(".failed"):
                failed.append(message)
            else:
                await send(message)

        reason = ""
        try:
            await self._app(scope, receive, send_unless_failed)
        except DatabaseError as error:
            reason = str(error)
        except UnavailableError:
            reason = (
                "DATABASE_URL: the database opened, but its queue could not be read or written: "
                "see the error in the line above, then restart"
            )
        except Exception:
            log.exception("service.unexpected_error")
        finally:
            for message in failed:
                await send({**message, "message": reason})


def create_app(
    settings: Settings,
    *,
    outbox: Outbox | None = None,
    clock: Callable[[], datetime] = utc_now,
    poll_interval: float = POLL_INTERVAL,
) -> Application:
    """Build the service. Its lifespan runs the worker, and opens and closes the outbox.

    `outbox`: used instead of opening the one in the settings; it is closed as well. `clock`: returns the time in UTC.
    `poll_interval`: seconds between two queries of the worker for due callbacks.
    """
    given_outbox = outbox
    shutdown = Shutdown()
    metrics = Metrics(settings.sites, tuple(Outcome))
    metrics_router, open_metrics_router = metrics_routers()
    api_keys = with_operator(settings.api_keys)
    origins = {name: Origins(site.origins) for name, site in settings.sites.items()}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            outbox = given_outbox or Outbox.open(settings.database_url)
            stack.push_async_callback(_close, outbox)
            _warn_of_disabled_challenges(settings)
            breakers = CircuitBreakers(_clients(settings, clock))
            stack.push_async_callback(breakers.aclose)
            config = _delivery_config(settings)
            worker = Worker(outbox, breakers, config, clock, shutdown, metrics, poll_interval=poll_interval)
            secrets = await outbox.write(partial(load_secrets, settings=settings, now=clock()))
            former = secrets.previous and Challenges(secrets.previous[0], clock, until=secrets.previous[1])
            challenges = Challenges(secrets.signing, clock, former=former)
            difficulty = AdaptiveDifficulty()
            admission = Admission(
                outbox,
                settings,
                admission_config(settings),
                challenges=challenges,
                difficulty=difficulty,
                origins=origins,
                metrics=metrics,
                clock=clock,
            )
            stack.push_async_callback(worker.stop)
            app.state.services = open_metrics.state.services = Services(
                settings=settings,
                started_at=clock(),
                api_keys=api_keys,
                outbox=outbox,
                delivery=worker,
                chaser=breakers.client,
                origins=origins,
                admission=admission,
                secret=secrets.hashing,
                clock=clock,
                challenges=challenges,
                difficulty=difficulty,
                in_flight=InFlightKeys(),
                upstream_slots=asyncio.Semaphore(_UPSTREAM_SLOTS),
                metrics=metrics,
            )
            await worker.start()
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
    open_metrics.include_router(open_metrics_router)
    for router in (
        callback_routes.router,
        callback_query_routes.router,
        callback_action_routes.router,
        challenge_routes.router,
        site_routes.router,
        blocklist_routes.router,
        chaser_routes.router,
        health_routes.health_router(),
        metrics_router,
        widget_routes.widget_router(),
    ):
        app.include_router(router)
    if settings.docs:
        app.include_router(documentation_router(app))
    limited = FloodLimit(BodyLimit(app), settings.limits.flood, api_keys)
    with_context = RequestContextMiddleware(limited, settings.trusted_proxies, metrics)
    return Application(
        Cors(with_context, origins.values(), metrics),
        shutdown,
        metrics,
        RequestContextMiddleware(open_metrics, (), metrics),
    )


def _warn_of_disabled_challenges(settings: Settings) -> None:
    for name, site in settings.sites.items():
        if site.challenge is None and site.plain_origins:
            advice = (
                "its pages without HTTPS can't solve the challenge, so it is off: use https, or set CHALLENGE to off"
            )
            event(log, "site.challenge_disabled", logging.WARNING, site=name, origins=site.plain_origins, advice=advice)


async def _close(outbox: Outbox) -> None:
    """Close the outbox in a daemon thread, and abandon it after the timeout."""
    thread = threading.Thread(target=outbox.close, name="outbox-closing", daemon=True)
    thread.start()
    deadline = time.monotonic() + _CLOSE_TIMEOUT
    while thread.is_alive():
        if time.monotonic() > deadline:
            event(log, "outbox.close_timeout", logging.WARNING)
            return
        await asyncio.sleep(0.01)


def _clients(settings: Settings, clock: Callable[[], datetime]) -> dict[str, ChaserClient]:
    timeout = settings.chaser.timeout.total_seconds()
    return {
        client_id: ChaserClient(client_id, key, api_url=settings.chaser.api_url, timeout=timeout, clock=clock)
        for client_id, key in settings.accounts()
    }


def _delivery_config(settings: Settings) -> DeliveryConfig:
    general = RetryPolicy(settings.retry_schedule, settings.on_unknown, settings.resend_after)
    by_site = {name: replace(general, on_unknown=settings.on_unknown_of(name)) for name in settings.sites}
    return DeliveryConfig(
        timeout=settings.chaser.timeout,
        calls_at_once=settings.calls_at_once,
        calls_per_second=settings.calls_per_second,
        keep_personal_data=settings.keep_personal_data,
        general=general,
        by_site=by_site,
        cap=PhoneCap(limits_of(settings.quotas.per_phone), ring_times(settings)),
    )
