"""Settings: the only reader of the environment and of files. Everything else gets them as a value."""

from app.settings.faults import SettingsFaults
from app.settings.hours import WEEKDAYS
from app.settings.model import ApiKey, Chaser, FloodLimits, Quotas, Scope, Settings
from app.settings.site import Department, Site, SiteQuotas
from app.settings.sources import load_settings
from app.settings.widget import Analytics, Consent, Theme, Triggers

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
    "SettingsFaults",
    "Site",
    "SiteQuotas",
    "Theme",
    "Triggers",
    "load_settings",
]
