"""POST /v1/callbacks and GET /v1/callbacks/{id}."""

import logging
import re
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field

from app.edge.api_keys import key_of, require_scope
from app.edge.body import JsonRoute
from app.errors import FieldError, Forbidden, Invalid, Malformed, NotFound
from app.intake.accept import Sender, accept, fingerprint
from app.intake.request import CallbackRequest
from app.logs import event, mask_phone
from app.outbox.callback import RequestKey
from app.routes.problems import responses
from app.routes.services import Given, Services

log = logging.getLogger(__name__)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
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
    """What anybody who knows the id may see."""

    id: str
    status: str
    call_expected_at: datetime | None


@router.post(
    "/v1/callbacks",
    status_code=202,
    response_model=CallbackAccepted,
    responses=responses(400, 401, 403, 413, 415, 422, 429, 503),
    summary="Ask to be called back",
)
async def create_callback(
    body: CallbackRequest,
    request: Request,
    response: Response,
    services: Given,
    idempotency_key: Annotated[
        list[Annotated[str, Field(pattern=_KEY)]],
        Header(default_factory=list, description="The same as request_id, as a header"),
    ],
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> CallbackAccepted:
    """Store a request to be phoned; the 202 is sent once it is on disk."""
    sender = _sender(request, body.site, services, key_of(authorization, services.settings.api_keys))
    callback = accept(
        body, sender, services.settings, services.clock(), origin_allowed=services.origins[body.site].allows
    )
    key = _request_key(body, sender, idempotency_key, services)
    accepted = await services.outbox.accept(callback, key, services.rules[body.site])
    if accepted.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    response.headers["Cache-Control"] = "no-store"
    event(
        log,
        "callback.accepted",
        callback=accepted.id,
        site=body.site,
        client_phone=mask_phone(callback.client_phone),
        duplicate=accepted.duplicate,
        replayed=accepted.replayed,
        api_key=sender.api_key,
    )
    return CallbackAccepted(
        id=accepted.id,
        status=accepted.status,
        created_at=accepted.created_at,
        call_expected_at=accepted.call_expected_at,
        duplicate=accepted.duplicate,
    )


@router.get(
    "/v1/callbacks/{callback_id}",
    response_model=CallbackGlimpse,
    responses=responses(404, 429, 503),
    summary="See what became of a callback",
)
async def show_callback(callback_id: str, response: Response, services: Given) -> CallbackGlimpse:
    """Tell the status to anybody who knows the id: it can't be guessed."""
    glimpse = await services.outbox.glimpse(callback_id) if _UUID.fullmatch(callback_id) else None
    if glimpse is None:
        raise NotFound("not_found", "There is no callback with this id.")
    response.headers["Cache-Control"] = "no-store"
    return CallbackGlimpse(id=glimpse.id, status=glimpse.status, call_expected_at=glimpse.call_expected_at)


def _sender(request: Request, site: str, services: Services, api_key: str | None) -> Sender:
    """Find out who asks, and whether they may ask for that site."""
    origin = request.headers.get("origin")
    if api_key is None and origin is None:
        raise Forbidden("origin_missing", "A request from no page needs an API key: Authorization: Bearer <key>.")
    if site not in services.settings.sites:
        wrong = FieldError("site", "unknown_site", "There is no such site in the settings of this service.")
        raise Invalid("invalid", "Some values need correction: see errors.", errors=[wrong])
    if api_key is not None:
        require_scope(api_key, services.settings.api_keys, "callbacks:write", site)
    elif origin is not None and not services.origins[site].allows(origin):
        raise Forbidden("origin_not_allowed", "This page may not ask for that site: see the site's ORIGINS setting.")
    return Sender(
        client_ip=str(request.state.client_address),
        bucket=request.state.client_buckets[0].key,
        origin=origin,
        referer=request.headers.get("referer"),
        api_key=api_key,
    )


def _request_key(body: CallbackRequest, sender: Sender, headers: list[str], services: Services) -> RequestKey | None:
    """Give the one key of a request: from the body or the header, within the API key's or the site's own keys."""
    named = {header.strip('"') for header in headers}
    if body.request_id is not None:
        named.add(body.request_id)
    if len(named) > 1:
        raise Malformed("two_request_ids", "request_id and Idempotency-Key differ: send one of them.")
    if not named:
        return None
    scope = f"key:{sender.api_key}" if sender.api_key else f"site:{body.site}"
    return RequestKey(scope, named.pop(), fingerprint(body, services.secret))
