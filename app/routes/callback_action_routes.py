"""POST /v1/callbacks/{id}/release, retry and cancel: what people decide."""

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict

from app.edge.api_keys import require_site
from app.logs import event
from app.outbox.callback import callback_not_found
from app.outbox.transitions import actor_of
from app.routes.dependencies import Services, ServicesDep, require_key
from app.routes.exception_handlers import responses
from app.routes.schemas import EXAMPLE

log = logging.getLogger(__name__)

router = APIRouter(tags=["callbacks"])

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CallbackId = Annotated[str, Path(description="The id that the 202 gave")]
Action = Literal["release", "retry", "cancel"]


class CallbackActionResponse(BaseModel):
    """The callback as it stands now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": EXAMPLE["id"], "status": "queued"}]})

    id: str
    status: str


@router.post(
    "/v1/callbacks/{callback_id}/{decision}",
    responses=responses(401, 403, 404, 409, 422, 429, 503),
    summary="Release, retry or cancel a callback",
)
async def perform_action(
    callback_id: CallbackId,
    decision: Annotated[Action, Path(description="What is to become of it")],
    services: ServicesDep,
    key: Annotated[str, Depends(require_key("callbacks:write"))],
) -> CallbackActionResponse:
    """Send a held callback (release) or a failed or unknown one (retry), or end one that waits (cancel).

    409 when its state forbids it, and when the same call was asked for again since. Retrying an unknown one may phone a
    person twice. Needs the scope callbacks:write.
    """
    found = await services.outbox.callback_status(callback_id) if UUID.fullmatch(callback_id) else None
    if found is None:
        raise callback_not_found()
    require_site(key, services.api_keys, found.site)
    await _deciding(services, decision, actor_of(key))(callback_id)
    event(log, "callback.action", callback=callback_id, decision=decision, api_key=key)
    now = await services.outbox.callback_status(callback_id)
    return CallbackActionResponse(id=callback_id, status=now.status if now else found.status)


def _deciding(services: Services, decision: Action, actor: str) -> Callable[[str], Awaitable[None]]:
    now, give_up_after = services.clock(), services.settings.give_up_after
    if decision == "cancel":
        return lambda callback_id: services.outbox.cancel(callback_id, now, actor)
    deciding = services.outbox.release if decision == "release" else services.outbox.retry
    return lambda callback_id: deciding(callback_id, now, give_up_after, actor)
