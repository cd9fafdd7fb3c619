"""GET /livez and /readyz: liveness and readiness."""

import asyncio
from typing import Any

from async_lru import alru_cache
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from app.edge.api_keys import OPERATOR, caller_of
from app.errors import UnavailableError
from app.outbox.outbox import Outbox
from app.outbox.queue_stats import check_writable, waiting
from app.routes.dependencies import ServicesDep
from app.routes.exception_handlers import responses
from app.routes.openapi import KEY_OPTIONAL

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
    @router.head("/livez", include_in_schema=False)
    async def live() -> dict[str, str]:
        """Respond while the process is alive. It ignores the database: otherwise a slow one would cause restarts."""
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Readiness probe",
        responses=_example(_READY) | responses(401) | {503: {"description": "Not ready: the same fields"}},
        openapi_extra=KEY_OPTIONAL,
    )
    @router.head("/readyz", include_in_schema=False)
    async def ready(request: Request, services: ServicesDep) -> JSONResponse:
        """Report whether the database accepts transactions (at most one second ago) and whether the worker runs.

        Without an API key only `status` is shown. The other fields need one with the scope `callbacks:read` that is
        not bound to sites: `waiting` would tell a stranger whether a phone was asked for.

        A site that Chaser refuses is shown as `paused`. It does not make the service unready: its requests are
        accepted, and wait.
        """
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                checks = await check_database(services.outbox)
        except TimeoutError:
            checks = _UNAVAILABLE
        is_ready = checks["database"] == "ok" and services.delivery.running
        body: dict[str, Any] = {"status": "ok" if is_ready else "unavailable"}
        caller = caller_of(request, services.api_keys)
        key = services.api_keys.get(caller or "")
        if key and "callbacks:read" in key.scopes and not key.sites:
            body |= {
                **checks,
                "delivery": "ok" if services.delivery.running else "stopped",
                "sites": {name: "paused" if paused else "ok" for name, paused in services.paused_sites().items()},
            }
        if caller == OPERATOR:  # `chaser-callback check` compares its own settings
            body["settings"] = {"digest": services.settings.digest(), "read_at": services.started_at.isoformat()}
        return JSONResponse(body, 200 if is_ready else 503)

    return router


def _example(body: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": body}}}}
