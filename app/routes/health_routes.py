"""GET /livez and /readyz: liveness and readiness."""

import asyncio
from typing import Any

from async_lru import alru_cache
from fastapi import APIRouter
from starlette.responses import JSONResponse

from app.errors import UnavailableError
from app.outbox.outbox import Outbox
from app.outbox.queue_stats import check_writable, waiting
from app.routes.dependencies import ServicesDep

_MAX_AGE = 1.0  # seconds for which a result is reused: otherwise a flood of probes would reach the database
CHECK_TIMEOUT = 3.0  # seconds after which a database that doesn't answer counts as unavailable
_UNAVAILABLE = {"database": "unavailable"}
_READY = {"status": "ok", "database": "ok", "waiting": 0, "delivery": "ok", "sites": {"shop": "ok"}}


async def _check_database(outbox: Outbox) -> dict[str, Any]:
    try:
        await outbox.write(check_writable, isolated=True)
        return {"database": "ok", "waiting": await outbox.read(waiting)}
    except UnavailableError:
        return _UNAVAILABLE


def health_router() -> APIRouter:
    """Return the router of the two probes."""
    router = APIRouter(tags=["health"])
    check_database = alru_cache(maxsize=1, ttl=_MAX_AGE)(_check_database)

    @router.get("/livez", summary="Liveness probe", responses=_example({"status": "ok"}))
    async def live() -> dict[str, str]:
        """Respond while the process is alive. It ignores the database: otherwise a slow one would cause restarts."""
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Readiness probe",
        responses=_example(_READY) | {503: {"description": "Not ready: the same fields, which show the cause"}},
    )
    async def ready(services: ServicesDep) -> JSONResponse:
        """Report whether the database accepts transactions (at most one second ago) and whether the worker runs.

        A site that Chaser refuses is shown as `paused`. It does not make the service unready: its requests are
        accepted, and wait.
        """
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                checks = await check_database(services.outbox)
        except TimeoutError:
            checks = _UNAVAILABLE
        is_ready = checks["database"] == "ok" and services.delivery.running
        body = {
            "status": "ok" if is_ready else "unavailable",
            **checks,
            "delivery": "ok" if services.delivery.running else "stopped",
            "sites": {name: "paused" if paused else "ok" for name, paused in services.paused_sites().items()},
        }
        return JSONResponse(body, 200 if is_ready else 503)

    return router


def _example(body: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": body}}}}
