"""The settings of the widget: its texts, its theme, its triggers, its analytics."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from app.settings.icon import Icon
from app.settings.setting_types import boolean, integer
from app.settings.settings_base import SettingsModel
from app.settings.text_types import text_line
from app.settings.urls import WebUrl

Language = Literal["ru", "en"]
# The texts in the widget's message files and on its button. A test checks that both have the same names.
TextName = Literal[
    "button",
    "title",
    "lead",
    "phone",
    "placeholder",
    "time",
    "your_time",
    "now",
    "department",
    "submit",
    "consent",
    "consent_link",
    "done_title",
    "done_text",
    "closed",
    "later",
    "sending",
    "again",
    "close",
    "call",
    "placed_title",
    "late_title",
    "late_text",
    "failed_title",
    "unknown_title",
    "unknown_text",
    "phone_missing",
    "phone_too_short",
    "phone_region",
    "phone_refused",
    "time_refused",
    "consent_required",
    "network",
    "too_many",
    "trouble",
    "blocked",
    "error",
]
Line = Annotated[str, text_line(500)]
Switch = Annotated[bool, boolean()]
_MAX_OFFSET = 200  # CSS pixels; beyond it the button would leave a screen of 320 px


def _color(value: Any) -> str:
    written = str(value).strip().lower()
    if not re.fullmatch(r"#([0-9a-f]{3}|[0-9a-f]{6})", written, re.ASCII):
        raise ValueError("write a colour as # and three or six hexadecimal digits, such as #2563eb")
    return written if len(written) == len("#2563eb") else "#" + "".join(digit * 2 for digit in written[1:])


CONSENT_TEXTS: dict[Language, str] = {
    "ru": "Даю согласие на обработку персональных данных.",
    "en": "I consent to the processing of my personal data.",
}
"""The widget's own texts beside the checkbox. A test checks that its message files have the same."""


class Consent(SettingsModel):
    """The consent document of the site. Its version is stored with every request."""

    url: Annotated[WebUrl, Field(description="the address of the consent document")]
    version: Annotated[
        str, text_line(64), Field(description="a name for this version of the document, such as 2026-01")
    ]
    text: dict[Language, Line] = Field(default={})


class Theme(SettingsModel):
    """The appearance of the widget. Lengths are in CSS pixels; `color` always has six digits."""

    color: Annotated[str, BeforeValidator(_color)] = "#2563eb"
    scheme: Literal["auto", "light", "dark"] = "auto"
    button: Switch = True
    icon: Icon | None = None
    position: Literal["left", "right"] = "right"
    offset_x: Annotated[int, integer(0, _MAX_OFFSET)] = 20
    offset_y: Annotated[int, integer(0, _MAX_OFFSET)] = 20
    corner: Annotated[int, integer(0, 28)] = 20


class Triggers(SettingsModel):
    """Events that open the dialog: leaving the page, seconds on the page, percent scrolled. None by default."""

    exit_intent: Switch = False
    seconds: Annotated[int, integer(1, 3600)] | None = None
    scroll: Annotated[int, integer(1, 100)] | None = None


class Analytics(SettingsModel):
    """Analytics that the widget sends events to, without personal data. None by default."""

    data_layer: Switch = False
    gtag: Switch = False
    metrika: Annotated[int, integer(1)] | None = None
