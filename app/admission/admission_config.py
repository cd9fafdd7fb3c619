"""The settings that admission depends on, as its own values."""

from datetime import datetime

from app.admission.admission_request import AdmissionConfig, Quotas
from app.intake.working_hours import ring_time, unknown_hours
from app.outbox.phone_callbacks import RingTime, Wish
from app.outbox.rings import Ring, limits_of, wanted_time
from app.settings import Quotas as QuotaSettings
from app.settings import Settings


def admission_config(settings: Settings) -> AdmissionConfig:
    """Return what decides about requests besides the stored data."""
    quotas = {name: _quotas(settings.quotas_of(name)) for name in settings.sites}
    return AdmissionConfig(
        settings.duplicate_window, limits_of(settings.quotas.per_phone), quotas, ring_times(settings)
    )


def _quotas(quotas: QuotaSettings) -> Quotas:
    return Quotas(
        per_address=limits_of(quotas.per_address),
        per_address_phones=limits_of(quotas.per_address_phones),
        per_site=limits_of(quotas.per_site),
        held_per_site=limits_of(quotas.held_per_site),
    )


def ring_times(settings: Settings) -> RingTime:
    """Return the function that says when a stored callback would ring if it was sent at a time."""

    def ring(wish: Wish, now: datetime) -> Ring:
        wanted = wanted_time(wish.planned_time, now)
        site = settings.sites.get(wish.site)
        if site is None:  # no longer in the settings, so nobody knows its hours
            return unknown_hours(wanted)
        start_hour, interval = wish.call_stack_start_hour, wish.call_stack_interval
        return ring_time(site, wish.nwt_action, start_hour, interval, wanted, now)

    return ring
