"""Decide when a call rings: working hours, planned_time and the queue of calls made at night. Pure: no I/O.

The vendor documents `nwt_action`, `call_stack_start_hour` and `call_stack_interval` in one paragraph without an
example. This module adds these rules, which are invented:

- The requested time is `planned_time`, or now if there is none or it is past.
- In working hours the call rings at the requested time.
- Outside them, `create_leed` creates a lead: an e-mail to the owner, no phone rings.
- Outside them, `always_call` queues the call for the next opening: today if the requested time is before today's
  opening, else the next working day. A call of Friday night is queued for Monday.
- The first call in a site's queue of a day rings at `call_stack_start_hour`:00 in the site's time zone. Each further
  one rings `call_stack_interval` minutes later. The queue may run past closing time.
- The default start hour is the opening, the default interval 0. Hour 24 is the end of the day. A start hour that is
  already past (hour 0, requested at 3:00) is replaced by the opening.
- Outside working hours without `nwt_action`, the site's settings at Chaser would decide. They are unknown, so the
  call rings at once: a demo at night shows a ringing phone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from app.simulator.options import WorkingHours
from app.simulator.request_rules import CallParameters


@dataclass(frozen=True)
class Plan:
    """The decision on a call: when it rings (None for a lead), and the queue it is in, if any."""

    ring_at: datetime | None
    note: str
    queue_day: date | None = None
    """The working day of the queue that the call is in; None for a call outside any queue."""


def is_open(hours: WorkingHours, moment: datetime) -> bool:
    """Return whether `moment` (with a time zone) is within working hours."""
    local = moment.astimezone(hours.zone)
    return local.weekday() in hours.days and hours.opens <= local.hour < hours.closes


def next_opening(hours: WorkingHours, moment: datetime) -> datetime:
    """Return the first opening after a moment outside working hours, in UTC."""
    local = moment.astimezone(hours.zone)
    day = local.date()
    if local.hour >= hours.opens:
        day += timedelta(days=1)
    while day.weekday() not in hours.days:
        day += timedelta(days=1)
    return _at_hour(hours, day, hours.opens)


def plan(call: CallParameters, hours: WorkingHours, now: datetime, queued_for: Callable[[date], int]) -> Plan:
    """Decide when a call rings; `queued_for(day)` is the length of the site's queue for that day."""
    planned = call.planned_time is not None and call.planned_time > now
    moment = call.planned_time if planned and call.planned_time is not None else now
    if is_open(hours, moment):
        return Plan(moment, "planned_time" if planned else "in working hours, at once")
    if call.nwt_action == "create_leed":
        return Plan(None, "outside working hours: a lead by e-mail, no phone rings")
    if call.nwt_action == "always_call":
        opening = next_opening(hours, moment)
        day = opening.astimezone(hours.zone).date()
        start = opening if call.call_stack_start_hour is None else _at_hour(hours, day, call.call_stack_start_hour)
        start = start if start > moment else opening
        position = queued_for(day)
        ring_at = start + position * timedelta(minutes=call.call_stack_interval or 0)
        return Plan(ring_at, f"outside working hours: number {position + 1} in the queue for {day:%d-%m-%Y}", day)
    return Plan(moment, "outside working hours, no nwt_action: the simulator rings at once")


def _at_hour(hours: WorkingHours, day: date, hour: int) -> datetime:
    """Convert an hour (0-24) of a day in the site's time zone to UTC."""
    local = datetime.combine(day + timedelta(days=hour // 24), time(hour % 24), hours.zone)
    return local.astimezone(UTC)
