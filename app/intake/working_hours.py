"""Working hours: whether a site is open, and when a requested call rings. Pure functions.

They follow our settings. Chaser stores its own working hours for each site and decides by those.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from app.outbox.rings import Ring
from app.settings import WEEKDAYS, Site

_UNKNOWN_HOURS: Final = timedelta(hours=24)  # within which a call rings if the working hours are unknown
_CLOSING: Final = timedelta(minutes=1)  # before closing, in which Chaser's clock may show that the site is closed
_MIDNIGHT: Final = 24
_DAY_OFF: Final = (time.min, time.min)


def is_open(site: Site, now: datetime) -> bool:
    """Return whether the site is open at a time. A site without working hours counts as open."""
    if site.working_hours is None:
        return True
    local = now.astimezone(site.timezone)
    opens, closes = _hours(site, local.date())
    return opens <= local.time() and (local.time() < closes or _ends_day(closes))


def ring_time(
    site: Site, nwt_action: str | None, start_hour: int | None, interval: int | None, wanted: datetime, now: datetime
) -> Ring:
    """Return when a call rings that is wanted at a time, `planned_time` or now, and sent to Chaser at `now`.

    `start_hour` (0 to 24) and `interval` (minutes) are those of Chaser's queue for calls outside working hours. If the
    site is open at the wanted time, the phone rings then. With unknown hours it may ring within 24 hours from then on.

    While the site is closed, `always_call` rings at the start hour on the day of the next opening. If that hour is
    unset or has passed, it rings at the opening. With an interval Chaser spreads the calls over that working day. With
    `create_leed` a lead is sent at once. Without an action Chaser's own settings decide, so it may ring from the
    wanted time until the end of the next working day. The same holds in the last minute before closing, because
    Chaser's clock may differ from ours; there a lead is sent instead of a later call with `create_leed`.
    """
    wanted, now = wanted.astimezone(UTC), now.astimezone(UTC)
    if site.working_hours is None:
        return unknown_hours(wanted)
    opened = is_open(site, wanted)
    if opened and is_open(site, wanted + _CLOSING):
        return Ring(wanted, wanted, certain=True, rings=True)
    if nwt_action == "create_leed":
        closing = _closing(site, wanted.astimezone(site.timezone).date())
        return (
            Ring(wanted, closing, certain=False, rings=True) if opened else Ring(now, now, certain=False, rings=False)
        )
    day = _next_working_day(site, wanted)
    starts = _starts(site, day, start_hour, wanted) if nwt_action == "always_call" else _opening(site, day)
    # A start hour may lie after closing: hour 24 always does.
    ends = max(starts, _closing(site, day))
    if nwt_action == "always_call" and not opened:
        return Ring(starts, ends if interval else starts, certain=True, rings=True)
    return Ring(wanted, ends, certain=False, rings=True)


def unknown_hours(wanted: datetime) -> Ring:
    """Return when a call rings at a site whose hours are unknown, also because it is no longer in the settings."""
    return Ring(wanted, wanted + _UNKNOWN_HOURS, certain=False, rings=True)


def _next_working_day(site: Site, moment: datetime) -> date:
    """Return the day of the first opening after a moment, in the site's time zone."""
    today = moment.astimezone(site.timezone).date()
    days = (today + timedelta(days=days) for days in range(8))
    return next(day for day in days if _hours(site, day) != _DAY_OFF and _opening(site, day) > moment)


def _starts(site: Site, day: date, start_hour: int | None, wanted: datetime) -> datetime:
    """Return when the calls of a working day's queue begin that were requested before its opening."""
    if start_hour is None:
        return _opening(site, day)
    starts = _next_midnight(site, day) if start_hour == _MIDNIGHT else _moment(site, day, time(start_hour))
    return starts if starts > wanted else _opening(site, day)


def _opening(site: Site, day: date) -> datetime:
    return _moment(site, day, _hours(site, day)[0])


def _closing(site: Site, day: date) -> datetime:
    closes = _hours(site, day)[1]
    if _ends_day(closes):
        return _next_midnight(site, day)
    # When the clocks go back, the closing time may occur twice.
    return max(_moment(site, day, closes), _moment(site, day, closes.replace(fold=1)))


def _hours(site: Site, day: date) -> tuple[time, time]:
    """Return the opening and the closing time of a day."""
    return (site.working_hours or {}).get(WEEKDAYS[day.weekday()], _DAY_OFF)


def _ends_day(closes: time) -> bool:
    return closes == time.max  # how the settings represent 24:00


def _next_midnight(site: Site, day: date) -> datetime:
    return _moment(site, day + timedelta(days=1), time.min)


def _moment(site: Site, day: date, at: time) -> datetime:
    return datetime.combine(day, at, site.timezone).astimezone(UTC)
