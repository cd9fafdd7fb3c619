"""Settings: the only reader of the environment and of files. Everything else gets them as a value."""

from app.settings.model import ApiKey, Chaser, FloodLimits, Quotas, Scope, Settings
from app.settings.site import WEEKDAYS, Consent, Department, Site, SiteQuotas, Theme
from app.settings.sources import SettingsFaults, load_settings

__all__ = [
    "WEEKDAYS",
    "ApiKey",
    "Chaser",
    "Consent",
    "Department",
    "FloodLimits",
    "Quotas",
    "Scope",
    "Settings",
    "SettingsFaults",
    "Site",
    "SiteQuotas",
    "Theme",
    "load_settings",
]
