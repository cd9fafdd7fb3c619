"""Planned times: which are offered to a visitor, and which are taken. Pure; reads no clock.

What is offered is accepted: `available_slots` and `check_planned_time` use the same hours and horizon, and a time that
was offered stays good until it has come.
"""

from datetime import datetime, timedelta
from typing import Final

from app.errors import FieldError
from app.intake.working_hours import is_open
from app.settings import Site

VISITORS_HORIZON: Final = timedelta(days=7)
"""How far ahead a visitor may plan. No further: calls planned from day to day would add up on one evening."""
SERVICES_HORIZON: Final = timedelta(days=14)
"""How far ahead a service with an API key may plan."""

_SOONEST = timedelta(minutes=15)
_MOST_DAYS = 3
_MOST_TIMES = 60
# The clocks of all time zones differ from UTC by whole quarters of an hour.
_QUARTER = timedelta(minutes=15)
_HALF_HOUR = 30


def available_slots(site: Site, now: datetime) -> list[datetime]:
    """Give the times that are offered to a visitor, at most 60, earliest first, in UTC as ``now`` is.

    They are the half hours on the site's clock, from 15 minutes ahead on: those within the working hours of the next
    three days that have any left, or of the next 24 hours for a site that is always open.
    """
    horizon = now + (timedelta(days=1) if site.working_hours is None else VISITORS_HORIZON)
    times: list[datetime] = []
    days = set()
    moment = _next_quarter(now + _SOONEST)
    while moment <= horizon and len(times) < _MOST_TIMES:
        local = moment.astimezone(site.timezone)
        # When clocks are put back they show an hour a second time (fold): nobody could tell the two apart.
        if local.minute % _HALF_HOUR == 0 and not local.fold and is_open(site, moment):
            days.add(local.date())
            if site.working_hours is not None and len(days) > _MOST_DAYS:
                break
            times.append(moment)
        moment += _QUARTER
    return times


def check_planned_time(site: Site, planned_time: datetime, now: datetime, *, by_visitor: bool) -> FieldError | None:
    """Tell why a call can't be planned for a time, or None.

    A visitor's time has to be within the site's working hours: a call at night would find nobody, whatever was
    promised. A service with an API key knows what it does, and Chaser knows more of the hours than we do.
    """
    horizon = VISITORS_HORIZON if by_visitor else SERVICES_HORIZON
    code = detail = None
    if planned_time <= now:
        code, detail = "planned_time_past", "Choose a time in the future."
    elif planned_time > now + horizon:
        code, detail = "planned_time_too_far", f"Choose a time within the next {horizon.days} days."
    elif by_visitor and not is_open(site, planned_time):
        code, detail = "planned_time_closed", "Choose a time within the working hours: see free_times of the site."
    return FieldError("planned_time", code, detail) if code and detail else None


def _next_quarter(moment: datetime) -> datetime:
    """Round up to a quarter of an hour."""
    begun = timedelta(minutes=moment.minute % 15, seconds=moment.second, microseconds=moment.microsecond)
    return moment - begun + _QUARTER if begun else moment
