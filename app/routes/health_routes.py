"""GET /livez and /readyz: liveness and readiness."""

import asyncio
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from app.edge.control_socket import IS_OPERATOR
from app.errors import UnavailableError
from app.outbox.outbox import Outbox
from app.outbox.single_flight import SharedLook
from app.routes.dependencies import ServicesDep

_MAX_AGE = 1.0  # seconds for which a result is reused: otherwise a flood of probes would reach the database
CHECK_TIMEOUT = 3.0  # seconds after which a database that doesn't answer counts as unavailable
_UNAVAILABLE = {"database": "unavailable"}
_READY = {"status": "ok", "database": "ok", "waiting": 0, "delivery": "ok", "sites": {"shop": "ok"}}


class _DatabaseCheck:
    """The database check, shared by concurrent probes and cached for `_MAX_AGE`."""

    def __init__(self) -> None:
        self._check: SharedLook[dict[str, Any]] | None = None

    async def result(self, outbox: Outbox) -> dict[str, Any]:
        """Return whether the database accepts a transaction, and the number of waiting callbacks if it does."""
        self._check = self._check or SharedLook(partial(_check_database, outbox))
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                return await self._check.answer(_MAX_AGE)
        except TimeoutError:
            return _UNAVAILABLE


async def _check_database(outbox: Outbox) -> dict[str, Any]:
    try:
        await outbox.check()
        return {"database": "ok", "waiting": await outbox.waiting()}
    except UnavailableError:
        return _UNAVAILABLE


def health_router() -> APIRouter:
    """Return the router of the two probes."""
    router = APIRouter(tags=["health"])
    database = _DatabaseCheck()

    @router.get("/livez", summary="Liveness probe", responses=_example({"status": "ok"}))
    async def live() -> dict[str, str]:
        """Respond while the process is alive. It ignores the database: otherwise a slow one would cause restarts."""
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Readiness probe",
        responses=_example(_READY) | {503: {"description": "Not ready: the same fields, which show the cause"}},
    )
    async def ready(request: Request, services: ServicesDep) -> JSONResponse:
        """Report whether the database accepts transactions (at most one second ago) and whether the worker runs.

        A site that Chaser refuses is shown as `paused`. It does not make the service unready: its requests are
        accepted, and wait.
        """
        checks = await database.result(services.outbox)
        is_ready = checks["database"] == "ok" and services.delivery.running
        body = {
            "status": "ok" if is_ready else "unavailable",
            **checks,
            "delivery": "ok" if services.delivery.running else "stopped",
            "sites": {name: "paused" if paused else "ok" for name, paused in services.paused_sites().items()},
        }
        if request.scope["state"].get(IS_OPERATOR):  # `chaser-callback check` compares its own settings
            body["settings"] = {"digest": services.settings.digest(), "read_at": services.started_at.isoformat()}
        return JSONResponse(body, 200 if is_ready else 503)

    return router


def _example(body: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": body}}}}
