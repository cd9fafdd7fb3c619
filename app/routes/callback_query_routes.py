"""GET /v1/callbacks and GET /v1/callbacks/{id}: what became of what was asked for."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict

from app.edge.api_keys import key_of, permitted_sites, require_scope, require_site
from app.errors import FieldError, invalid
from app.outbox.callback import callback_not_found, public_status
from app.outbox.queries import CallbackFilter
from app.routes.callback_action_routes import UUID, CallbackId
from app.routes.dependencies import Authorization, Services, ServicesDep, require_key
from app.routes.exception_handlers import responses
from app.routes.filters import CallbacksQuery, decode_cursor, encode_cursor, normalize_search_phone
from app.routes.openapi import KEY_OPTIONAL
from app.routes.schemas import EXAMPLE, CallbackDetailResponse, CallbackResponse, to_detail_response, to_response

router = APIRouter(tags=["callbacks"])


class PublicCallbackResponse(BaseModel):
    """What anybody who knows the id may see. A ``held`` one is ``queued`` to whoever has no API key."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{name: EXAMPLE[name] for name in ("id", "status", "call_expected_at")}]},
    )

    id: str
    status: str
    call_expected_at: datetime | None


class CallbacksPage(BaseModel):
    """Callbacks, the newest first. ``next_cursor`` asks for the next page; null on the last one."""

    callbacks: list[CallbackResponse]
    next_cursor: str | None


@router.get("/v1/callbacks", responses=responses(401, 403, 422, 429, 503), summary="List callbacks")
async def list_callbacks(
    query: Annotated[CallbacksQuery, Query()],
    response: Response,
    services: ServicesDep,
    key: Annotated[str, Depends(require_key("callbacks:read"))],
) -> CallbacksPage:
    """Give the callbacks a key may see, the newest first, with their attempts. Needs the scope callbacks:read.

    To read on, send the same filters with ``cursor`` = ``next_cursor`` until that is null. What was there when you
    began comes exactly once, whatever is added or changes meanwhile.
    """
    sites = permitted_sites(key, services.api_keys, query.site)
    wanted = _wanted(query, sites, services)
    found = await services.outbox.list_callbacks(
        wanted, decode_cursor(query.cursor) if query.cursor else None, query.limit + 1
    )
    page = found[: query.limit]
    response.headers["Cache-Control"] = "no-store"
    return CallbacksPage(
        callbacks=[to_response(stored) for stored in page],
        next_cursor=encode_cursor(page[-1].callback["id"]) if len(found) > query.limit else None,
    )


@router.get(
    "/v1/callbacks/{callback_id}",
    responses=responses(401, 403, 404, 429, 503),
    summary="See what became of a callback",
    openapi_extra=KEY_OPTIONAL,
)
async def show_callback(
    callback_id: CallbackId, response: Response, services: ServicesDep, authorization: Authorization = None
) -> CallbackDetailResponse | PublicCallbackResponse:
    """Tell id, status and expected time to anybody who knows the id: it can't be guessed.

    With an API key of the scope callbacks:read: everything, attempts included.
    """
    api_key = key_of(authorization, services.api_keys)
    response.headers["Cache-Control"] = "no-store"
    known = UUID.fullmatch(callback_id)
    if api_key is None:
        glimpse = await services.outbox.callback_status(callback_id, services.clock()) if known else None
        if glimpse is None:
            raise callback_not_found()
        status = public_status(glimpse.status)
        return PublicCallbackResponse(id=glimpse.id, status=status, call_expected_at=glimpse.call_expected_at)
    require_scope(api_key, services.api_keys, "callbacks:read")
    stored = await services.outbox.get(callback_id) if known else None
    if stored is None:
        raise callback_not_found()
    require_site(api_key, services.api_keys, stored.callback["site"])
    return to_detail_response(stored)


def _wanted(query: CallbacksQuery, sites: tuple[str, ...], services: Services) -> CallbackFilter:
    if query.from_ and query.to and query.to <= query.from_:
        wrong = FieldError("to", "not_after_from", "This is not after from, so nothing lies between: see both.")
        raise invalid([wrong])
    phone = None
    if query.client_phone is not None:
        named = [services.settings.sites[site] for site in sites if site in services.settings.sites]
        regions = [region for site in named or services.settings.sites.values() for region in site.regions]
        phone = normalize_search_phone(query.client_phone, regions)
    return CallbackFilter(
        sites=sites,
        statuses=tuple(query.status),
        client_phone=phone,
        since=query.from_,
        before=query.to,
    )
