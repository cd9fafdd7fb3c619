"""Settings: read from the environment and files by this package alone, and passed to all others as a value."""

from app.settings.hours_syntax import WEEKDAYS
from app.settings.loader import load_settings
from app.settings.model import ApiKey, Chaser, FloodLimits, Quotas, Scope, Settings
from app.settings.settings_errors import SettingsError
from app.settings.site_settings import Department, Site, SiteQuotas
from app.settings.widget_settings import Analytics, Consent, Theme, Triggers

__all__ = [
    "WEEKDAYS",
    "Analytics",
    "ApiKey",
    "Chaser",
    "Consent",
    "Department",
    "FloodLimits",
    "Quotas",
    "Scope",
    "Settings",
    "SettingsError",
    "Site",
    "SiteQuotas",
    "Theme",
    "Triggers",
    "load_settings",
]
