"""GET /v1/websites and GET /v1/statistics: data of a Chaser account, passed through."""

import re
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.chaser import ChaserClient, ChaserError, StatisticsFilter
from app.edge.api_keys import permitted_sites
from app.errors import FieldError, ForbiddenError, NotFoundError, invalid
from app.routes.dependencies import Services, ServicesDep, require_key
from app.routes.exception_handlers import responses
from app.routes.upstream_errors import translate_error

router = APIRouter(tags=["chaser"])

_REFUSALS = responses(401, 403, 404, 422, 429, 502, 503, 504)
_LARGEST_ID = 2**63 - 1

T = TypeVar("T")
Key = Annotated[str, Depends(require_key("chaser:read"))]


def _iso(value: Any) -> Any:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value).strip(), re.ASCII):
            return date.fromisoformat(str(value).strip())
    except ValueError:
        pass
    raise PydanticCustomError("not_a_date", "Write a date, such as 2026-01-31")


Day = Annotated[date | None, BeforeValidator(_iso)]


class WebsiteResponse(BaseModel):
    """A site of the account. Other fields that Chaser sends are passed on unchanged."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"id": 12345, "name": "shop.example", "title": "Our shop"}]}
    )

    id: Annotated[
        int, Field(description="The number of the site at Chaser: site_id in the settings and in GET /v1/statistics")
    ]
    name: str
    title: str


class Websites(BaseModel):
    """The sites of an account, in the order in which Chaser lists them."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"websites": [{"id": 12345, "name": "shop.example", "title": "Our shop"}]}]}
    )

    websites: list[WebsiteResponse]


class Statistics(BaseModel):
    """Calls as Chaser sends them. Their fields are not documented by Chaser; all are passed on unchanged."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"statistics": [{"date": "31-01-2026", "client_phone": "79161234567"}]}]}
    )

    statistics: list[dict[str, Any]]


@router.get("/v1/websites", responses=_REFUSALS, summary="List the sites of a Chaser account")
async def list_websites(
    response: Response,
    services: ServicesDep,
    key: Key,
    site: Annotated[
        str | None,
        Query(
            max_length=64,
            description="A site of the settings, to select its Chaser account. Absent: the account in CHASER__…",
        ),
    ] = None,
) -> Websites:
    """List the sites of a Chaser account, as Chaser returns them.

    A key that is bound to sites sees only these. It must send `site` if they use different accounts.

    Needs the scope `chaser:read`.
    """
    sites = permitted_sites(key, services.api_keys, [site] if site is not None else [])
    bound = services.api_keys[key].sites
    websites = await _query(services, _account(services, sites), lambda chaser: chaser.websites())
    own_ids = {services.settings.sites[name].site_id for name in bound if name in services.settings.sites}
    response.headers["Cache-Control"] = "no-store"
    return Websites(
        websites=[
            WebsiteResponse.model_validate({**each.extra, "id": each.id, "name": each.name, "title": each.title})
            for each in websites
            if not bound or each.id in own_ids
        ]
    )


@router.get("/v1/statistics", responses=_REFUSALS, summary="List the calls of a site at Chaser")
async def show_statistics(
    response: Response,
    services: ServicesDep,
    key: Key,
    site_id: Annotated[int, Query(ge=1, le=_LARGEST_ID, description="The number of the site at Chaser")],
    date_from: Annotated[Day, Query(description="The first day, such as 2026-01-01")] = None,
    date_to: Annotated[Day, Query(description="The last day, such as 2026-01-31")] = None,
    filter: Annotated[  # noqa: A002  (Chaser's own name for it)
        StatisticsFilter | None, Query(description="Only calls that succeeded, or only those that failed")
    ] = None,
) -> Statistics:
    """List the calls of a site, as Chaser returns them. The query uses the account of the site with this `site_id`.

    A key that is bound to sites may query only these. Chaser does not document the time zone of its dates.

    Needs the scope `chaser:read`.
    """
    bound = services.api_keys[key].sites
    matching = [name for name, site in services.settings.sites.items() if site.site_id == site_id]
    permitted = [name for name in matching if not bound or name in bound]
    if bound and not permitted:
        raise ForbiddenError("site_not_allowed", "This API key is bound to other sites.")
    if date_from and date_to and date_to < date_from:
        raise invalid([FieldError("date_to", "before_date_from", "This is before date_from: correct one of the two.")])
    account = _account(services, tuple(permitted[:1]))
    calls = await _query(services, account, lambda chaser: chaser.statistics(site_id, date_from, date_to, filter))
    response.headers["Cache-Control"] = "no-store"
    return Statistics(statistics=calls)


def _account(services: Services, sites: tuple[str, ...]) -> str:
    """Return the `client_id` of the account that these sites share; the general account if there are no sites.

    Raises NotFoundError for an unknown site, UnprocessableContentError if the sites use different accounts.
    """
    settings = services.settings
    if any(name not in settings.sites for name in sites):
        raise NotFoundError("unknown_site", "There is no such site in the settings of this service.")
    accounts = {settings.account_of(name) for name in sites} or {settings.chaser.client_id}
    if len(accounts) > 1:
        error = FieldError("site", "required", "The sites of this key use several accounts: name one of the sites.")
        raise invalid([error])
    return accounts.pop()


async def _query(services: Services, account: str, query: Callable[[ChaserClient], Awaitable[T]]) -> T:
    client = services.chaser(account)
    if client is None:
        raise NotFoundError("unknown_site", "There is no such site in the settings of this service.")
    try:
        async with services.upstream_slots:
            return await query(client)
    except ChaserError as error:
        translated = translate_error(error)
    raise translated
