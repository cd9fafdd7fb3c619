"""Working hours: whether a site is open, and when a call requested now is expected. Pure functions.

They follow our settings. Chaser stores its own working hours for each site and decides by those.
"""

from datetime import UTC, datetime, time, timedelta

from app.settings import WEEKDAYS, Site


def is_open(site: Site, now: datetime) -> bool:
    """Return whether the site is open at a time. A site without working hours always is."""
    if site.working_hours is None:
        return True
    local = now.astimezone(site.timezone)
    opening = site.working_hours.get(WEEKDAYS[local.weekday()])
    return opening is not None and opening[0] <= local.time() < opening[1]


def expected_call(site: Site, nwt_action: str | None, start_hour: int | None, now: datetime) -> datetime | None:
    """Return the time in UTC from which a call requested at `now` is expected; None if no call is promised.

    While open that is `now`. While closed with `always_call` it is `start_hour` (0 to 24) on the day of the next
    opening. If that hour is unset or has passed, it is the opening. The queue of waiting calls starts then;
    outbox/night_queue.py assigns each its slot. While closed with another action no call is promised.
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
