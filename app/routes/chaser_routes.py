"""GET /v1/websites and GET /v1/statistics: what Chaser tells of an account, passed through."""

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
from app.settings import Site

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
    """A site of the account. Fields that Chaser sends beyond these are passed on as they are."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"id": 12345, "name": "shop.example", "title": "Our shop"}]}
    )

    id: Annotated[int, Field(description="The site_id of the settings and of statistics")]
    name: str
    title: str


class Websites(BaseModel):
    """The sites of an account, as Chaser lists them."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"websites": [{"id": 12345, "name": "shop.example", "title": "Our shop"}]}]}
    )

    websites: list[WebsiteResponse]


class Statistics(BaseModel):
    """Calls as Chaser sends them: it doesn't document their fields, and every one is passed on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"statistics": [{"date": "31-01-2026", "client_phone": "79161234567"}]}]}
    )

    statistics: list[dict[str, Any]]


@router.get("/v1/websites", responses=_REFUSALS, summary="The sites that Chaser has for an account")
async def list_websites(
    response: Response,
    services: ServicesDep,
    key: Key,
    site: Annotated[
        str | None,
        Query(max_length=64, description="A site of the settings, to ask for the account it uses. Absent: CHASER__…"),
    ] = None,
) -> Websites:
    """Ask Chaser for the sites of an account. Needs the scope chaser:read.

    A key that is bound to sites sees those only, and names one of them when they use several accounts.
    """
    sites = permitted_sites(key, services.api_keys, [site] if site is not None else [])
    bound = services.api_keys[key].sites
    found = await _ask(services, _account(services, sites), lambda chaser: chaser.websites())
    mine = {services.settings.sites[name].site_id for name in bound if name in services.settings.sites}
    response.headers["Cache-Control"] = "no-store"
    return Websites(
        websites=[
            WebsiteResponse.model_validate({**each.extra, "id": each.id, "name": each.name, "title": each.title})
            for each in found
            if not bound or each.id in mine
        ]
    )


@router.get("/v1/statistics", responses=_REFUSALS, summary="The calls of a site, as Chaser tells them")
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
    """Ask Chaser for the calls of a site, with the account that site uses here. Needs the scope chaser:read.

    A key that is bound to sites may ask for these only. In which time zone a day begins Chaser doesn't document.
    """
    sites = services.api_keys[key].sites
    named = [name for name, site in _sites(services).items() if site.site_id == site_id]
    mine = [name for name in named if not sites or name in sites]
    if sites and not mine:
        raise ForbiddenError("site_not_allowed", "This API key is bound to other sites.")
    if date_from and date_to and date_to < date_from:
        wrong = FieldError("date_to", "before_date_from", "This is before date_from: see both.")
        raise invalid([wrong])
    account = _account(services, tuple(mine[:1]))
    found = await _ask(services, account, lambda chaser: chaser.statistics(site_id, date_from, date_to, filter))
    response.headers["Cache-Control"] = "no-store"
    return Statistics(statistics=found)


def _sites(services: Services) -> dict[str, Site]:
    return services.settings.sites


def _account(services: Services, sites: tuple[str, ...]) -> str:
    """Give the client_id of the account that these sites use; none: the general one."""
    general = services.settings.chaser.client_id
    unknown = [name for name in sites if name not in _sites(services)]
    if unknown:
        raise NotFoundError("unknown_site", "There is no such site in the settings of this service.")
    accounts = {_sites(services)[name].client_id or general for name in sites} or {general}
    if len(accounts) > 1:
        wrong = FieldError("site", "required", "The sites of this key use several accounts: name one of the sites.")
        raise invalid([wrong])
    return accounts.pop()


async def _ask(services: Services, account: str, question: Callable[[ChaserClient], Awaitable[T]]) -> T:
    client = services.chaser(account)
    if client is None:
        raise NotFoundError("unknown_site", "There is no such site in the settings of this service.")
    try:
        async with services.upstream_slots:
            return await question(client)
    except ChaserError as error:
        translated = translate_error(error)
    raise translated
