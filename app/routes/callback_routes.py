"""POST /v1/callbacks: request a callback."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.edge.api_keys import caller_of
from app.edge.request_body import HotRoute
from app.errors import FieldError, invalid
from app.intake.callback_request import CallbackRequest
from app.routes.dependencies import Services
from app.routes.exception_handlers import responses
from app.routes.openapi import KEY_OPTIONAL
from app.routes.schemas import EXAMPLE
from app.routes.senders import identify_sender, request_key

# draft-ietf-httpapi-idempotency-key-header prescribes a string in quotes. Most clients send it without.
_KEY = re.compile(r'^("[!#-~]{1,128}"|[!#-~]{1,128})$')
_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": _KEY.pattern, "title": "Idempotency-Key"},
    "description": "The idempotency key as a header, with or without quotes; the same as request_id in the body",
}

router = APIRouter(route_class=HotRoute, tags=["callbacks"])
_REPLAYED: dict[int | str, dict[str, Any]] = {
    202: {
        "headers": {
            "Idempotency-Replayed": {
                "description": "true: the same request was accepted before, and this is the first response to it",
                "schema": {"type": "string", "enum": ["true"]},
            }
        }
    }
}


class CallbackAccepted(BaseModel):
    """The request is stored. `duplicate`: an earlier callback covers it, and this response shows that one.

    Only a request with an API key is told. To a visitor a duplicate is answered like any other request.
    """

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
    call_expected_at: Annotated[
        datetime | None, Field(description="When the call is expected, in UTC; null if unknown")
    ]
    duplicate: bool


@router.post(
    "/v1/callbacks",
    status_code=202,
    response_model=CallbackAccepted,
    responses=_REPLAYED | responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
    summary="Request a callback",
    openapi_extra=KEY_OPTIONAL | {"parameters": [_KEY_HEADER]},
)
async def create_callback(
    body: CallbackRequest,
    request: Request,
) -> Response:
    """Store a request for a callback. The 202 is sent once the request is on disk.

    A request is idempotent under its `Idempotency-Key` header or `request_id`. Sent again with the same body, it gets
    the first response again, with `Idempotency-Replayed: true`. With another body it is another request; with an API
    key it is refused with 422 `request_id_reused`. While the first request is being processed, a repetition with the
    header is refused with 409 `request_in_flight`; one with `request_id` waits for the first response.

    Pages need no API key. They send their `Origin`, and a solved challenge if the site requires one. An API key of the
    scope `callbacks:write` replaces both and allows the fields from `client_ip` on.
    """
    # Headers are read from the request: as FastAPI parameters each would take as long to validate as the whole body.
    services: Services = request.app.state.services
    idempotency_key = request.headers.getlist("idempotency-key")
    if not all(map(_KEY.fullmatch, idempotency_key)):
        error = FieldError(
            "Idempotency-Key", "invalid_format", "Send 1 to 128 printable characters without spaces and quotes."
        )
        raise invalid([error])
    # The flood limit has stored the name of a known key. An unknown key is refused here.
    api_key = request.state.api_key or caller_of(request, services.api_keys)
    sender = identify_sender(request, body.site, services, api_key)
    key = request_key(body, sender, idempotency_key, services)
    with services.in_flight.track(key, refuse=bool(idempotency_key)):
        accepted = await services.admission.admit(body, sender, key, request.state.client_buckets)
    request.state.accepted = True
    response = CallbackAccepted(
        id=accepted.id,
        status=accepted.status,
        created_at=accepted.created_at,
        call_expected_at=accepted.call_expected_at,
        duplicate=accepted.duplicate,
    )
    headers = {"Cache-Control": "no-store"} | ({"Idempotency-Replayed": "true"} if accepted.replayed else {})
    return Response(response.model_dump_json(), 202, headers, "application/json")
