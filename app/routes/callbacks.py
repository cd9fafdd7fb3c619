"""POST /v1/callbacks."""

import logging
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from app.edge.api_keys import key_of
from app.edge.body import JsonRoute
from app.intake.request import CallbackRequest
from app.logs import event, mask_phone
from app.metrics import Result
from app.outbox.callback import Accepted, Callback
from app.routes.admission import admit, request_key, sender_of
from app.routes.documentation import KEY_OPTIONAL
from app.routes.problems import responses
from app.routes.services import Given
from app.routes.shown import EXAMPLE

log = logging.getLogger(__name__)

# draft-ietf-httpapi-idempotency-key-header has a string in quotes; most programs send it without.
_KEY = r'^("[!#-~]{1,128}"|[!#-~]{1,128})$'

router = APIRouter(route_class=JsonRoute, tags=["callbacks"])
_REPLAYED: dict[int | str, dict[str, Any]] = {
    202: {
        "headers": {
            "Idempotency-Replayed": {
                "description": "true: the same request came before, and this is what it was answered",
                "schema": {"type": "string", "enum": ["true"]},
            }
        }
    }
}


class CallbackAccepted(BaseModel):
    """The callback is written down. ``duplicate``: an earlier request for this phone stands for this one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": EXAMPLE["id"],
                    "status": "queued",
                    "created_at": EXAMPLE["created_at"],
                    "call_expected_at": EXAMPLE["call_expected_at"],
                    "duplicate": False,
                }
            ]
        }
    )

    id: str
    status: str
    created_at: datetime
    call_expected_at: Annotated[datetime | None, Field(description="UTC; null when nobody can tell")]
    duplicate: bool


@router.post(
    "/v1/callbacks",
    status_code=202,
    response_model=CallbackAccepted,
    responses=_REPLAYED | responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
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
        Header(description="The same as request_id, as a header"),
    ] = [],  # noqa: B006  # nobody changes it, and of a default_factory the signature is read at each request
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> CallbackAccepted:
    """Store a request to be phoned; the 202 is sent once it is on disk.

    The same Idempotency-Key or request_id with the same body is the same request, however often it is sent: the first
    answer is given again, with Idempotency-Replayed. With another body it is refused (422, request_id_reused). While
    the first one is under way, a request with the header gets a 409 (request_in_flight); one with request_id waits.

    A page needs no key but its Origin, and a challenge where the site asks for one. An API key of the scope
    callbacks:write replaces both, and allows the fields from client_ip on.
    """
    sender = sender_of(request, body.site, services, key_of(authorization, services.api_keys))
    key = request_key(body, sender, idempotency_key, services)
    with services.under_way.holding(key, refuse=bool(idempotency_key)):
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
