"""The settings of one site: who may embed the widget, and on what terms its callbacks go to Chaser."""

import re
from datetime import time
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.edge.origins import parse_origin_pattern
from app.settings.notation import Limits, Listed, RealSecret, RealText, Telephone

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Language = Literal["ru", "en"]
TextName = Literal[
    "button", "title", "lead", "phone", "placeholder", "submit", "consent", "consent_link", "done_title", "done_text"
]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Line = Annotated[str, Field(min_length=1, max_length=500)]


def _known_timezone(name: str) -> ZoneInfo:
    if name not in available_timezones():
        raise ValueError("write a name of the IANA time zone database, such as Europe/Moscow")
    return ZoneInfo(name)


def _known_region(code: str) -> str:
    if code.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("write two-letter country codes, such as RU or KZ")
    return code.upper()


def _pattern(text: str) -> str:
    return str(parse_origin_pattern(text))


def _opening(value: object) -> tuple[time, time]:
    match = re.fullmatch(r"(\d\d?):(\d\d)\s*[-–]\s*(\d\d?):(\d\d)", str(value).strip()) or ("", "-", "", "", "")
    try:
        closes = time.max if (match[3], match[4]) == ("24", "00") else time(int(match[3]), int(match[4]))
        opens = time(int(match[1]), int(match[2]))
    except ValueError:
        raise ValueError("write opening hours such as 09:00-18:00") from None
    if opens >= closes:
        raise ValueError("the closing time must come after the opening time, on the same day")
    return opens, closes


def _days(value: object) -> object:
    """Spell out ranges of days: ``{"mon-fri": "09:00-18:00"}`` names five days."""
    if not isinstance(value, dict):
        return value
    days: dict[object, object] = {}
    for name, hours in value.items():
        first, _, last = str(name).lower().partition("-")
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
            raise ValueError("write days as mon, tue, wed, thu, fri, sat, sun or a range such as mon-fri")
        start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        if end < start:
            raise ValueError("write a range of days from the earlier to the later, mon first")
        for day in WEEKDAYS[start : end + 1]:
            if day in days:
                raise ValueError(f"{day} is named twice")
            days[day] = hours
    return days


Opening = Annotated[tuple[time, time], BeforeValidator(_opening)]
WorkingHours = Annotated[dict[Weekday, Opening], BeforeValidator(_days)]


class Part(BaseModel):
    """What all parts of the settings share: unknown names are refused, nothing changes after start."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


class Department(Part):
    """A choice the visitor is offered; it may have its own manager and its own words for the manager."""

    name: Line
    manager_phone: Telephone | None = None
    message_on_ring: Line | None = None


class Consent(Part):
    """The consent document of the site. Its version is kept with every request made under it."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2048)]
    version: Annotated[str, Field(min_length=1, max_length=64)]
    text: dict[Language, Line] = {}


class Theme(Part):
    """How the widget looks on this site."""

    color: Annotated[str, Field(pattern=r"^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$")] = "#2563eb"
    position: Literal["left", "right"] = "right"


class SiteQuotas(Part):
    """Caps of this site alone, in place of the general ones. The cap per phone is the same for all sites."""

    per_client: Limits | None = None
    per_client_phones: Limits | None = None
    per_site: Limits | None = None


class Site(Part):
    """One site: ``SITES__<NAME>__...`` in the environment, ``[sites.<name>]`` in the file."""

    site_id: Annotated[int, Field(gt=0)]
    origins: Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], Listed, Field(min_length=1)]
    manager_phone: Telephone | None = None
    message_on_ring: Line | None = None
    nwt_action: Literal["create_leed", "always_call"] | None = None
    call_stack_start_hour: Annotated[int, Field(ge=0, le=24)] | None = None
    call_stack_interval: Annotated[int, Field(ge=0, le=60)] | None = None
    regions: Annotated[tuple[Annotated[str, AfterValidator(_known_region)], ...], Listed, Field(min_length=1)] = ("RU",)
    timezone: Annotated[ZoneInfo, BeforeValidator(_known_timezone)] = ZoneInfo("Europe/Moscow")
    working_hours: WorkingHours | None = None
    departments: dict[Name, Department] = {}
    consent: Consent | None = None
    texts: dict[Language, dict[TextName, Line]] = {}
    theme: Theme = Theme()
    phone: Telephone | None = None
    on_unknown: Literal["resend_once", "hold"] | None = None
    challenge: Literal["on", "off"] = "off"
    quotas: SiteQuotas = SiteQuotas()
    client_id: RealText | None = None
    private_key: RealSecret | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        stacking = self.call_stack_start_hour is not None or self.call_stack_interval is not None
        if stacking and self.nwt_action != "always_call":
            raise ValueError(
                "call_stack_start_hour and call_stack_interval mean something only with nwt_action = always_call: "
                "set that or leave them out"
            )
        if (self.client_id is None) != (self.private_key is None):
            raise ValueError("client_id and private_key belong together: set both, or neither to use CHASER__...")
        if self.challenge == "on":
            raise ValueError("challenge = on is not part of this version yet: set challenge = off")
        return self
