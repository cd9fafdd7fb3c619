"""POST /v1/callbacks/{id}/release, retry and cancel: the actions of an operator."""

import logging
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict

from app.edge.api_keys import require_site
from app.intake.build_callback import CALLBACK_ID
from app.logs import event
from app.outbox.callback import callback_not_found
from app.outbox.operator_actions import cancel
from app.outbox.public_status import callback_status
from app.outbox.transitions import actor_of
from app.routes.dependencies import ServicesDep, require_key
from app.routes.exception_handlers import responses
from app.routes.schemas import EXAMPLE

log = logging.getLogger(__name__)

router = APIRouter(tags=["callbacks"])

CallbackId = Annotated[str, Path(description="The id from the 202 response")]
Action = Literal["release", "retry", "cancel"]


class CallbackActionResponse(BaseModel):
    """The status of the callback after the action."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": EXAMPLE["id"], "status": "queued"}]})

    id: str
    status: str


@router.post(
    "/v1/callbacks/{callback_id}/{action}",
    responses=responses(401, 403, 404, 409, 422, 429, 503),
    summary="Release, retry or cancel a callback",
)
async def perform_action(
    callback_id: CallbackId,
    action: Annotated[Action, Path(description="What to do with the callback")],
    services: ServicesDep,
    key: Annotated[str, Depends(require_key("callbacks:write"))],
) -> CallbackActionResponse:
    """Release a `held` callback, retry a `failed` or `unknown` one, or cancel one that is not being sent.

    Responds with 409 `invalid_state` if the status does not allow the action, `already_called` if another callback
    covers this one, and `phone_cap` if the phone would ring too often. To retry an `unknown` callback may ring the
    phone twice.

    Needs the scope `callbacks:write`.
    """
    read_status = partial(callback_status, callback_id=callback_id)
    before = await services.outbox.read(read_status) if CALLBACK_ID.fullmatch(callback_id) else None
    if before is None:
        raise callback_not_found()
    require_site(key, services.api_keys, before.site)
    actor = actor_of(key)
    if action == "cancel":
        await services.outbox.write(partial(cancel, callback_id=callback_id, now=services.clock(), actor=actor))
    else:
        await services.admission.requeue(action, callback_id, actor)
    event(log, "callback.action", callback=callback_id, action=action, api_key=key)
    after = await services.outbox.read(read_status)
    return CallbackActionResponse(id=callback_id, status=after.status if after else before.status)
