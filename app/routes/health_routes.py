"""GET /livez and /readyz."""

import asyncio
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from app.errors import UnavailableError
from app.outbox.outbox import Outbox
from app.outbox.shared_look import SharedLook
from app.routes.dependencies import ServicesDep

_FRESH = 1.0  # seconds for which an answer of the database is repeated: anybody may ask, as often as they like
PATIENCE = 3.0  # seconds after which a database that doesn't answer counts as unavailable
_UNAVAILABLE = {"database": "unavailable"}
_READY = {"status": "ok", "database": "ok", "waiting": 0, "delivery": "ok", "sites": {"shop": "ok"}}


class _DatabaseCheck:
    """One look at the database at a time, shared by all who ask."""

    def __init__(self) -> None:
        self._look: SharedLook[dict[str, Any]] | None = None

    async def result(self, outbox: Outbox) -> dict[str, Any]:
        """Tell whether it takes a transaction, and how many callbacks wait."""
        self._look = self._look or SharedLook(partial(_ask, outbox))
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._look.answer(_FRESH)
        except TimeoutError:
            return _UNAVAILABLE


async def _ask(outbox: Outbox) -> dict[str, Any]:
    try:
        await outbox.check()
        return {"database": "ok", "waiting": await outbox.waiting()}
    except UnavailableError:
        return _UNAVAILABLE


def health_router() -> APIRouter:
    """Make the two routes."""
    router = APIRouter(tags=["health"])
    database = _DatabaseCheck()

    @router.get("/livez", summary="Is the process alive", responses=_example({"status": "ok"}))
    async def live() -> dict[str, str]:
        """Answer: nothing else is asked of it, so that a slow database doesn't get the process killed."""
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Can requests be accepted",
        responses=_example(_READY) | {503: {"description": "Not ready: the same, with what is wrong"}},
    )
    async def ready(services: ServicesDep) -> JSONResponse:
        """Tell whether the database takes a transaction, as of the last second, and whether the worker runs.

        A site that Chaser refuses is told but is no reason to send visitors away: requests are accepted, and wait.
        """
        checks = await database.result(services.outbox)
        fine = checks["database"] == "ok" and services.delivery.running
        body = {
            "status": "ok" if fine else "unavailable",
            **checks,
            "delivery": "ok" if services.delivery.running else "stopped",
            "sites": {name: "paused" if paused else "ok" for name, paused in services.paused_sites().items()},
        }
        return JSONResponse(body, 200 if fine else 503)

    return router


def _example(body: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": body}}}}
