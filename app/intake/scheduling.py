"""Planned times: the slots offered to a visitor, and the check of a requested time. Pure, reads no clock.

Every offered slot is accepted until its time has passed: `available_slots` and `check_planned_time` use the same
working hours and horizon.
"""

from datetime import datetime, timedelta
from typing import Final

from app.errors import FieldError
from app.intake.working_hours import is_open
from app.settings import Site

VISITORS_HORIZON: Final = timedelta(days=7)
"""How far ahead a visitor may plan. Otherwise calls planned on many days could pile up on one evening."""
SERVICES_HORIZON: Final = timedelta(days=14)
"""How far ahead a service with an API key may plan."""

_SOONEST = timedelta(minutes=15)  # from now to the first slot
_MOST_DAYS = 3
_MOST_TIMES = 60
# The offsets of all time zones from UTC are multiples of a quarter of an hour.
_QUARTER = timedelta(minutes=15)
_HALF_HOUR = 30


def available_slots(site: Site, now: datetime) -> list[datetime]:
    """Return the slots offered to a visitor, at most 60, earliest first, in UTC as `now` is.

    They are full and half hours in the site's time zone, from 15 minutes ahead on. They cover the working hours of the
    next three days with a slot left. A site without working hours offers none: nobody knows when it may call.
    """
    if site.working_hours is None:
        return []
    horizon = now + VISITORS_HORIZON
    times: list[datetime] = []
    days = set()
    moment = _next_quarter(now + _SOONEST)
    while moment <= horizon and len(times) < _MOST_TIMES:
        local = moment.astimezone(site.timezone)
        # When the clocks go back one hour occurs twice (fold=1). Its slots would look like those of the first.
        if local.minute % _HALF_HOUR == 0 and not local.fold and is_open(site, moment):
            days.add(local.date())
            if len(days) > _MOST_DAYS:
                break
            times.append(moment)
        moment += _QUARTER
    return times


def check_planned_time(site: Site, planned_time: datetime, now: datetime, *, by_visitor: bool) -> FieldError | None:
    """Return the error of a time for which no call can be planned, or None for a valid time.

    A visitor's time must be within the site's working hours, since a call at night would not be answered. A service
    with an API key may plan outside them, because Chaser's own working hours may differ from the settings.
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
    """Return the time rounded up to a quarter of an hour."""
    past_quarter = timedelta(minutes=moment.minute % 15, seconds=moment.second, microseconds=moment.microsecond)
    return moment - past_quarter + _QUARTER if past_quarter else moment
