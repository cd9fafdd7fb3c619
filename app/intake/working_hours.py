"""Working hours: is a site open, and when would a call asked for now be made. Pure.

This is what our settings say. Chaser keeps working hours of its own for each site and decides by those.
"""

from datetime import UTC, datetime, time, timedelta

from app.settings import WEEKDAYS, Site


def is_open(site: Site, now: datetime) -> bool:
    """Tell whether the site takes calls at a time. A site without working hours always does."""
    if site.working_hours is None:
        return True
    local = now.astimezone(site.timezone)
    opening = site.working_hours.get(WEEKDAYS[local.weekday()])
    return opening is not None and opening[0] <= local.time() < opening[1]


def expected_call(site: Site, nwt_action: str | None, start_hour: int | None, now: datetime) -> datetime | None:
    """Give the time, in UTC, from which a call asked for now may be expected; None when nobody can tell.

    Open: now. Closed with ``always_call``: the next working day from ``start_hour`` on, or from opening if there is
    none or that hour has passed; that is the start of the queue, in which outbox/night_queue.py finds the place.
    Closed otherwise: no call is promised.
    """
    if is_open(site, now):
        return now
    if nwt_action != "always_call" or site.working_hours is None:
        return None
    local = now.astimezone(site.timezone)
    for days in range(8):
        date = local.date() + timedelta(days=days)
        opening = site.working_hours.get(WEEKDAYS[date.weekday()])
        if opening is None or (days == 0 and local.time() >= opening[0]):
            continue
        midnight = datetime.combine(date, time.min, site.timezone)
        opens = midnight.replace(hour=opening[0].hour, minute=opening[0].minute).astimezone(UTC)
        if start_hour is None:
            return opens
        starts = midnight + timedelta(days=1) if start_hour == 24 else midnight.replace(hour=start_hour)
        return starts.astimezone(UTC) if starts.astimezone(UTC) > now else opens
    return None
