"""GET /v1/sites/{site}: what the widget shows on that site."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.errors import NotFound
from app.intake.hours import expected_call, is_open
from app.routes.problems import responses
from app.routes.services import Given

router = APIRouter()


class DepartmentShown(BaseModel):
    """A choice offered to the visitor."""

    id: str
    name: str


class ConsentShown(BaseModel):
    """The document the visitor consents to. ``text`` by language; empty: the widget's own words."""

    url: str
    version: str
    text: dict[str, str]


class ThemeShown(BaseModel):
    """How the widget looks."""

    color: str
    position: str


class SiteShown(BaseModel):
    """All the widget needs to know of a site; nothing in it is secret."""

    site: str
    regions: list[str]
    timezone: str
    open: bool
    call_expected_at: datetime | None
    departments: list[DepartmentShown]
    consent: ConsentShown | None
    texts: dict[str, dict[str, str]]
    theme: ThemeShown
    phone: str | None


@router.get("/v1/sites/{site}", responses=responses(404, 429), summary="What the widget shows on a site")
async def show_site(site: str, response: Response, services: Given) -> SiteShown:
    """Give the site's public settings, and whether it takes calls now."""
    settings = services.settings.sites.get(site)
    # Any page may read this, also one whose origin is missing in the settings: the widget then says just that.
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cache-Control"] = "public, max-age=30"
    if settings is None:
        raise NotFound("unknown_site", "There is no such site in the settings of this service.")
    now = services.clock()
    return SiteShown(
        site=site,
        regions=list(settings.regions),
        timezone=str(settings.timezone),
        open=is_open(settings, now),
        call_expected_at=expected_call(settings, settings.nwt_action, settings.call_stack_start_hour, now),
        departments=[DepartmentShown(id=name, name=part.name) for name, part in settings.departments.items()],
        consent=ConsentShown.model_validate(settings.consent.model_dump()) if settings.consent else None,
        texts={language: dict(texts) for language, texts in settings.texts.items()},
        theme=ThemeShown(color=settings.theme.color, position=settings.theme.position),
        phone=f"+{settings.phone}" if settings.phone else None,
    )
