"""GET /v1/sites/{site}: the public settings of a site, for the widget."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, ConfigDict

from app.errors import NotFoundError
from app.intake.scheduling import available_slots
from app.intake.working_hours import is_open
from app.routes.dependencies import ServicesDep
from app.routes.exception_handlers import responses
from app.settings import Analytics, Consent, Theme, Triggers

router = APIRouter(tags=["visitors"])


class DepartmentResponse(BaseModel):
    """A department that the visitor can choose."""

    id: str
    name: str


class SiteResponse(BaseModel):
    """The public settings of a site. Nothing in it is secret.

    `allowed`: whether the site allows the `Origin` of this request. `open`: whether it is within working hours now.
    `call_expected_at`: from when on a request sent now would be called, null if no time can be promised. `free_times`:
    the times that a visitor may choose as `planned_time`, none if the working hours are unknown. `challenge`: whether a
    request from a page needs a solved challenge.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "shop",
                    "allowed": True,
                    "regions": ["RU"],
                    "timezone": "Europe/Moscow",
                    "open": True,
                    "call_expected_at": "2026-01-31T07:00:00Z",
                    "free_times": ["2026-01-31T09:00:00Z", "2026-01-31T09:30:00Z"],
                    "departments": [{"id": "sales", "name": "Sales"}],
                    "consent": {"url": "https://shop.example/privacy", "version": "2026-01", "text": {}},
                    "texts": {"en": {"button": "Call me back"}},
                    "theme": Theme().model_dump(mode="json"),
                    "triggers": Triggers().model_dump(mode="json"),
                    "analytics": Analytics().model_dump(mode="json"),
                    "phone": "+74950000003",
                    "challenge": True,
                }
            ]
        }
    )

    site: str
    allowed: bool
    regions: list[str]
    timezone: str
    open: bool
    call_expected_at: datetime | None
    free_times: list[datetime]
    departments: list[DepartmentResponse]
    consent: Consent | None
    texts: dict[str, dict[str, str]]
    theme: Theme
    triggers: Triggers
    analytics: Analytics
    phone: str | None
    challenge: bool


@router.get("/v1/sites/{site}", responses=responses(404, 429), summary="Show the public settings of a site")
async def show_site(
    site: Annotated[str, Path(description="The name of the site in the settings")],
    response: Response,
    services: ServicesDep,
    origin: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> SiteResponse:
    """Show the settings that the widget needs, and whether the site is open now. All times are in UTC."""
    settings = services.settings.sites.get(site)
    # Pages of any origin may read this. Otherwise the widget could not report that an origin is missing in ORIGINS.
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Vary"] = "Origin"
    response.headers["Cache-Control"] = "public, max-age=30"
    if settings is None:
        raise NotFoundError("unknown_site", "There is no such site in the settings of this service.")
    now = services.clock()
    return SiteResponse(
        site=site,
        allowed=origin is None or services.origins[site].allows(origin),
        regions=list(settings.regions),
        timezone=str(settings.timezone),
        open=is_open(settings, now),
        call_expected_at=await services.admission.promise(site, now),
        free_times=available_slots(settings, now),
        departments=[DepartmentResponse(id=name, name=part.name) for name, part in settings.departments.items()],
        consent=settings.consent,
        texts={language: dict(texts) for language, texts in settings.texts.items()},
        theme=settings.theme,
        triggers=settings.triggers,
        analytics=settings.analytics,
        phone=f"+{settings.phone}" if settings.phone else None,
        challenge=settings.asks_for_challenge,
    )
