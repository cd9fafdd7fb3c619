"""Settings: the only reader of the environment and of files. Everything else gets them as a value."""

from app.settings.faults import SettingsFaults
from app.settings.hours import WEEKDAYS
from app.settings.model import ApiKey, Chaser, FloodLimits, Quotas, Scope, Settings
from app.settings.site import Consent, Department, Site, SiteQuotas, Theme
from app.settings.sources import load_settings

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
