"""GET /livez and /readyz."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from app.errors import Unavailable
from app.routes.services import Given

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Is the process alive")
async def live() -> dict[str, str]:
    """Answer: nothing else is asked of it, so that a slow database doesn't get the process killed."""
    return {"status": "ok"}


@router.get("/readyz", summary="Can requests be accepted", responses={503: {"description": "Not ready"}})
async def ready(services: Given) -> JSONResponse:
    """Prove that the database takes a transaction and that the worker runs.

    A paused Chaser account is told but is no reason to send visitors away: requests are still accepted, and wait.
    """
    checks: dict[str, Any] = {"database": "ok", "delivery": "ok" if services.delivery.running else "stopped"}
    try:
        await services.outbox.check()
        checks["waiting"] = await services.outbox.waiting()
    except Unavailable:
        checks["database"] = "unavailable"
    paused = services.delivery.paused_accounts
    checks["accounts"] = {name: "paused" if name in paused else "ok" for name, _ in services.settings.accounts()}
    fine = checks["database"] == "ok" and services.delivery.running
    return JSONResponse({"status": "ok" if fine else "unavailable", **checks}, 200 if fine else 503)
