"""The settings of a site: its origins, its defaults for calls, its widget and its quotas."""

from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
from pydantic import BeforeValidator, Field, model_validator

from app.net.origins import parse_origin_pattern
from app.settings.hours_syntax import WorkingHours
from app.settings.setting_types import CommaList, Limits, Telephone, integer
from app.settings.settings_base import ConflictingSettings, Name, SettingsModel
from app.settings.text_types import ClientId, Secret, refuse_placeholder
from app.settings.widget_settings import CONSENT_TEXTS, Analytics, Consent, Language, Line, TextName, Theme, Triggers

OnUnknown = Literal["resend_once", "hold"]


def _timezone(value: Any) -> ZoneInfo:
    if not isinstance(value, str) or value.strip() not in available_timezones():
        raise ValueError("write a name of the IANA time zone database, such as Europe/Moscow")
    return ZoneInfo(value.strip())


def _region(value: Any) -> str:
    if not isinstance(value, str) or value.strip().upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("write two-letter country codes, such as RU or RU,KZ")
    return value.strip().upper()


def _origin(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("write origins such as https://shop.example")  # noqa: TRY004  # see hours_syntax.py
    refuse_placeholder(value)
    return str(parse_origin_pattern(value.strip()))


class Department(SettingsModel):
    """A department that visitors can choose. It may override the manager and the message of the site."""

    name: Annotated[Line, Field(description="the name that visitors see")]
    manager_phone: Telephone | None = None
    message_on_ring: Line | None = None


class SiteQuotas(SettingsModel):
    """Quotas of this site, which override the general ones. The quota per phone is the same for all sites."""

    per_address: Limits | None = None
    per_address_phones: Limits | None = None
    per_site: Limits | None = None
    held_per_site: Limits | None = None


class Site(SettingsModel):
    """A site: `SITES__<NAME>__...` in the environment, `[sites.<name>]` in the file."""

    site_id: Annotated[int, integer(1), Field(description="the number of the site at Chaser")]
    origins: Annotated[
        tuple[Annotated[str, BeforeValidator(_origin)], ...],
        CommaList,
        Field(min_length=1, description="the origins of the pages with the widget, such as https://shop.example"),
    ]
    manager_phone: Telephone | None = None
    message_on_ring: Line | None = None
    nwt_action: Literal["create_leed", "always_call"] | None = None
    call_stack_start_hour: Annotated[int, integer(0, 24)] | None = None
    call_stack_interval: Annotated[int, integer(0, 60)] | None = None
    regions: Annotated[tuple[Annotated[str, BeforeValidator(_region)], ...], CommaList, Field(min_length=1)] = ("RU",)
    timezone: Annotated[ZoneInfo, BeforeValidator(_timezone)] = ZoneInfo("Europe/Moscow")
    working_hours: WorkingHours | None = None
    departments: dict[Name, Department] = Field(default={})
    consent: Consent | None = None
    texts: dict[Language, dict[TextName, Line]] = Field(default={})
    theme: Theme = Theme()
    triggers: Triggers = Triggers()
    analytics: Analytics = Analytics()
    phone: Telephone | None = None
    on_unknown: OnUnknown | None = None
    challenge: bool | None = None
    quotas: SiteQuotas = SiteQuotas()
    client_id: ClientId | None = None
    private_key: Secret | None = None

    @property
    def asks_for_challenge(self) -> bool:
        """Return whether a request from a page needs a challenge. Default: if browsers can solve it at all origins."""
        return not self.plain_origins if self.challenge is None else self.challenge

    @property
    def consent_texts(self) -> frozenset[str]:
        """Return the texts that the widget shows beside the checkbox of consent, in all languages."""
        own = self.consent.text if self.consent else {}
        return frozenset(
            own.get(language) or self.texts.get(language, {}).get("consent", default)
            for language, default in CONSENT_TEXTS.items()
        )

    @property
    def plain_origins(self) -> tuple[str, ...]:
        """Return the origins without HTTPS. There browsers lack the Web Crypto API, so they can't solve a challenge."""
        return tuple(origin for origin in self.origins if not parse_origin_pattern(origin).is_trusted)

    @model_validator(mode="after")
    def _cross_check(self) -> Self:
        pages = ", ".join(self.plain_origins)
        call_stack = ("call_stack_start_hour", "call_stack_interval")
        stacked = " and ".join(name.upper() for name in call_stack if getattr(self, name) is not None)
        always_call = self.nwt_action == "always_call"
        both = "set both, or neither to use CHASER__..."
        checks = (
            (
                self.challenge and pages,
                "challenge",
                f"browsers can't solve it on pages without HTTPS ({pages}): use https, or set off",
            ),
            (stacked and not always_call, "nwt_action", f"set it to always_call, or leave out {stacked}"),
            (
                # Otherwise these calls would ring at unknown times, and a phone's quota could not count them.
                always_call and self.working_hours is None,
                "working_hours",
                "missing although NWT_ACTION is always_call: set those that are set at Chaser; always open is "
                "mon-sun 00:00-24:00",
            ),
            (self.client_id and not self.private_key, "private_key", f"missing although CLIENT_ID is set: {both}"),
            (self.private_key and not self.client_id, "client_id", f"missing although PRIVATE_KEY is set: {both}"),
        )
        conflicts = [(name, message) for wrong, name, message in checks if wrong]
        if conflicts:
            raise ConflictingSettings(conflicts)
        return self
