"""POST /v1/callbacks and GET /v1/callbacks/{id}."""

import logging
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field, WithJsonSchema

from app.edge.api_keys import key_of, require_scope
from app.edge.body import JsonRoute
from app.errors import NotFound
from app.intake.request import CallbackRequest
from app.logs import event, mask_phone
from app.metrics import Result
from app.outbox.callback import Accepted, Callback, shown
from app.routes.admission import admit, request_key, sender_of
from app.routes.documentation import KEY_OPTIONAL
from app.routes.problems import responses
from app.routes.services import Given
from app.routes.steering import UUID

log = logging.getLogger(__name__)

# draft-ietf-httpapi-idempotency-key-header has a string in quotes; most programs send it without.
_KEY = r'^("[!#-~]{1,128}"|[!#-~]{1,128})$'

router = APIRouter(route_class=JsonRoute)


class CallbackAccepted(BaseModel):
    """The callback is written down. ``duplicate``: an earlier request for this phone stands for this one."""

    id: str
    status: str
    created_at: datetime
    call_expected_at: Annotated[datetime | None, Field(description="UTC; null when nobody can tell")]
    duplicate: bool


class CallbackGlimpse(BaseModel):
    """What anybody who knows the id may see. A ``held`` one is ``queued`` to whoever has no API key."""

    id: str
    status: str
    call_expected_at: datetime | None


@router.post(
    "/v1/callbacks",
    status_code=202,
    response_model=CallbackAccepted,
    responses=responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
    summary="Ask to be called back",
    openapi_extra=KEY_OPTIONAL,
)
async def create_callback(
    body: CallbackRequest,
    request: Request,
    response: Response,
    services: Given,
    idempotency_key: Annotated[
        list[Annotated[str, Field(pattern=_KEY)]],
        WithJsonSchema({"type": "string", "pattern": _KEY}),  # a list so that a second one is noticed
        Header(default_factory=list, description="The same as request_id, as a header"),
    ],
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> CallbackAccepted:
    """Store a request to be phoned; the 202 is sent once it is on disk."""
    sender = sender_of(request, body.site, services, key_of(authorization, services.api_keys))
    key = request_key(body, sender, idempotency_key, services)
    accepted, callback = await admit(body, sender, key, request.state.client_buckets, services)
    if accepted.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    response.headers["Cache-Control"] = "no-store"
    services.metrics.accepted(body.site, _result(accepted, callback))
    event(
        log,
        "callback.accepted",
        callback=accepted.id,
        site=body.site,
        client_phone=mask_phone(callback.client_phone) if callback else None,
        duplicate=accepted.duplicate,
        replayed=accepted.replayed,
        hold=callback.hold if callback else None,
        api_key=sender.api_key,
    )
    return CallbackAccepted(
        id=accepted.id,
        status=accepted.status,
        created_at=accepted.created_at,
        call_expected_at=accepted.call_expected_at,
        duplicate=accepted.duplicate,
    )


def _result(accepted: Accepted, callback: Callback | None) -> Result:
    if accepted.replayed:
        return "replayed"
    if accepted.duplicate:
        return "duplicate"
    return "held" if callback is not None and callback.hold is not None else "new"


@router.get(
    "/v1/callbacks/{callback_id}",
    response_model=CallbackGlimpse,
    responses=responses(401, 403, 404, 429, 503),
    summary="See what became of a callback",
    openapi_extra=KEY_OPTIONAL,
)
async def show_callback(
    callback_id: str,
    response: Response,
    services: Given,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> CallbackGlimpse:
    """Tell the status to anybody who knows the id: it can't be guessed."""
    api_keys = services.api_keys
    api_key = key_of(authorization, api_keys)
    glimpse = await services.outbox.glimpse(callback_id) if UUID.fullmatch(callback_id) else None
    if glimpse is None:
        raise NotFound("not_found", "There is no callback with this id.")
    if api_key is not None:
        require_scope(api_key, api_keys, "callbacks:read", glimpse.site)
    status = glimpse.status if api_key is not None else shown(glimpse.status)
    response.headers["Cache-Control"] = "no-store"
    return CallbackGlimpse(id=glimpse.id, status=status, call_expected_at=glimpse.call_expected_at)
