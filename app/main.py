"""Wiring: makes the application from its settings. Nobody imports this but the entry points."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import FastAPI
from starlette.types import ASGIApp

from app.chaser import ChaserClient
from app.delivery.accounts import Accounts
from app.delivery.policy import Rules
from app.delivery.worker import Worker, WorkerRules
from app.edge.body import BodyLimit
from app.edge.cors import Cors
from app.edge.envelope import Envelope
from app.edge.limits import FloodLimit
from app.edge.origins import Origins
from app.outbox.accepting import AcceptRules
from app.outbox.outbox import Outbox
from app.outbox.quotas import Quotas
from app.routes import callbacks, health, sites, widget
from app.routes.problems import answer_errors
from app.routes.services import Services
from app.settings import Settings, Site
from app.version import VERSION


def utc_now() -> datetime:
    """Give the present time."""
    return datetime.now(UTC)


def create_app(settings: Settings, *, outbox: Outbox | None = None, clock: Callable[[], datetime] = utc_now) -> ASGIApp:
    """Make the service. Its lifespan runs the worker, and closes the outbox, which it opens when none is given."""
    opened = outbox
    origins = {name: Origins(site.origins) for name, site in settings.sites.items()}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as ending:
            outbox = opened or Outbox.open(settings.database_url)
            ending.callback(outbox.close)
            accounts = Accounts(_clients(settings, clock))
            ending.push_async_callback(accounts.aclose)
            worker = Worker(outbox, accounts, _worker_rules(settings), clock)
            ending.push_async_callback(worker.stop)
            app.state.services = Services(
                settings=settings,
                outbox=outbox,
                delivery=worker,
                origins=origins,
                rules={name: _accept_rules(settings, site) for name, site in settings.sites.items()},
                secret=settings.secret(),
                clock=clock,
            )
            await worker.start()
            yield

    app = FastAPI(
        title="Chaser Callback",
        version=VERSION,
        description="A visitor types a phone number and is called back through Chaser.",
        lifespan=lifespan,
        redoc_url=None,
    )
    answer_errors(app)
    for router in (callbacks.router, sites.router, health.router, widget.widget_router()):
        app.include_router(router)
    limited = FloodLimit(BodyLimit(app), settings.limits.flood)
    return Cors(Envelope(limited, settings.trusted_proxies), origins.values())


def _clients(settings: Settings, clock: Callable[[], datetime]) -> dict[str, ChaserClient]:
    timeout = settings.chaser.timeout.total_seconds()
    return {
        client_id: ChaserClient(client_id, key, api_url=settings.chaser.api_url, timeout=timeout, clock=clock)
        for client_id, key in settings.accounts()
    }


def _worker_rules(settings: Settings) -> WorkerRules:
    general = Rules(settings.retry_schedule, settings.on_unknown, settings.resend_after)
    by_site = {
        name: replace(general, on_unknown=site.on_unknown) for name, site in settings.sites.items() if site.on_unknown
    }
    return WorkerRules(
        timeout=settings.chaser.timeout,
        calls_at_once=settings.calls_at_once,
        calls_per_second=settings.calls_per_second,
        keep_personal_data=settings.keep_personal_data,
        general=general,
        by_site=by_site,
    )


def _accept_rules(settings: Settings, site: Site) -> AcceptRules:
    general, own = settings.quotas, site.quotas
    quotas = Quotas(
        per_phone=general.per_phone,
        per_client=own.per_client or general.per_client,
        per_client_phones=own.per_client_phones or general.per_client_phones,
        per_site=own.per_site or general.per_site,
    )
    return AcceptRules(settings.duplicate_window, quotas)
