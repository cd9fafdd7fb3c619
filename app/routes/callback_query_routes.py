"""GET /v1/callbacks and GET /v1/callbacks/{id}: the list of callbacks, and the status of one."""

from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from app.edge.api_keys import caller_of, permitted_sites, require_scope, require_site
from app.errors import FieldError, UnprocessableContentError, invalid
from app.intake.build_callback import CALLBACK_ID
from app.outbox import queries
from app.outbox.callback import callback_not_found
from app.outbox.public_status import public_status
from app.outbox.queries import CallbackFilter
from app.routes.callback_action_routes import CallbackId
from app.routes.dependencies import Services, ServicesDep, require_key
from app.routes.exception_handlers import responses
from app.routes.filters import CallbacksQuery, normalize_search_phone
from app.routes.openapi import KEY_OPTIONAL
from app.routes.schemas import EXAMPLE, CallbackDetailResponse, CallbackResponse, values_of

router = APIRouter(tags=["callbacks"])


class PublicCallbackResponse(BaseModel):
    """The part of a callback that is shown without an API key.

    Its status is queued, placed, failed or unknown: `held` and `sending` are shown as `queued`, `cancelled` as
    `failed`. For the first three seconds every callback is `queued`, after seven days its id is unknown.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{name: EXAMPLE[name] for name in ("id", "status", "call_expected_at")}]},
    )

    id: str
    status: Literal["queued", "placed", "failed", "unknown"]
    call_expected_at: datetime | None


class CallbacksPage(BaseModel):
    """A page of callbacks, newest first. `next_cursor` requests the next page; null on the last page."""

    callbacks: list[CallbackResponse]
    next_cursor: str | None


@router.get("/v1/callbacks", responses=responses(401, 403, 422, 429, 503), summary="List callbacks")
async def list_callbacks(
    query: Annotated[CallbacksQuery, Query()],
    response: Response,
    services: ServicesDep,
    key: Annotated[str, Depends(require_key("callbacks:read"))],
) -> CallbacksPage:
    """List the callbacks that the API key may see, newest first, with their attempts.

    For the next page send the same filters with `cursor` set to `next_cursor`, until that is null. Each callback that
    existed at the first page is listed exactly once, even if others are added or change meanwhile.

    Needs the scope `callbacks:read`.
    """
    sites = permitted_sites(key, services.api_keys, query.site)
    filters = _filters(query, sites, services)
    if query.cursor and not CALLBACK_ID.fullmatch(query.cursor):
        detail = "This cursor is invalid: start again without one, or send next_cursor unchanged."
        raise UnprocessableContentError("invalid_cursor", detail)
    page_query = partial(queries.list_callbacks, filters=filters, before_id=query.cursor or None, limit=query.limit + 1)
    records = await services.outbox.read(page_query)
    page = records[: query.limit]
    response.headers["Cache-Control"] = "no-store"
    return CallbacksPage(
        callbacks=[CallbackResponse.model_validate(values_of(record)) for record in page],
        next_cursor=page[-1].callback["id"] if len(records) > query.limit else None,
    )


@router.get(
    "/v1/callbacks/{callback_id}",
    responses=responses(401, 403, 404, 429, 503),
    summary="Show the status of a callback",
    openapi_extra=KEY_OPTIONAL,
)
async def show_callback(
    callback_id: CallbackId, request: Request, response: Response, services: ServicesDep
) -> CallbackDetailResponse | PublicCallbackResponse:
    """Show the id, the status and the expected time of a callback. Its id is enough: it can't be guessed.

    With an API key of the scope `callbacks:read` all fields are shown, with the attempts.
    """
    api_key = caller_of(request, services.api_keys)
    response.headers["Cache-Control"] = "no-store"
    is_uuid = CALLBACK_ID.fullmatch(callback_id)
    if api_key is None:
        read_status = partial(public_status, callback_id=callback_id, now=services.clock())
        found = await services.outbox.read(read_status) if is_uuid else None
        if found is None:
            raise callback_not_found()
        return PublicCallbackResponse(id=found.id, status=found.status, call_expected_at=found.call_expected_at)
    require_scope(api_key, services.api_keys, "callbacks:read")
    record = await services.outbox.read(partial(queries.get, callback_id=callback_id)) if is_uuid else None
    if record is None:
        raise callback_not_found()
    require_site(api_key, services.api_keys, record.callback["site"])
    return CallbackDetailResponse.model_validate(values_of(record))


def _filters(query: CallbacksQuery, sites: tuple[str, ...], services: Services) -> CallbackFilter:
    if query.from_ and query.to and query.to <= query.from_:
        raise invalid([FieldError("to", "not_after_from", "This is not after from: correct one of the two.")])
    phone = None
    if query.client_phone is not None:
        selected = [services.settings.sites[site] for site in sites if site in services.settings.sites]
        regions = [region for site in selected or services.settings.sites.values() for region in site.regions]
        phone = normalize_search_phone(query.client_phone, regions)
    return CallbackFilter(
        sites=sites,
        statuses=tuple(query.status),
        client_phone=phone,
        since=query.from_,
        before=query.to,
    )
