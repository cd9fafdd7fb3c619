"""When a call rings: working hours, planned_time and the stacking of night calls (pure).

The vendor documents `nwt_action`, `call_stack_start_hour` and `call_stack_interval` in one paragraph and shows no
example. What this module adds to that paragraph is invention:

- The moment that counts is `planned_time`, or now if there is none or it has passed.
- In working hours the call rings at that moment.
- Outside them, `create_leed` makes a lead: an e-mail to the owner, no phone rings.
- Outside them, `always_call` queues the call for the next opening: today if the moment is before today's opening,
  else the next working day; a Friday night's call waits for Monday. It rings at call_stack_start_hour:00 site time
  plus n times call_stack_interval minutes, n being how many calls stand in that site's queue for that day already.
  No start hour means the hour of opening, no interval means 0. Hour 24 is the end of that day. A start that is
  past already (start hour 0, asked at 3:00) is replaced by the opening. A queue may run past closing time.
- Outside them with no `nwt_action`, the site's own settings would decide. Those are unknown, so the call rings at
  once: a demonstration at night shows a ringing phone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from app.simulator.options import WorkingHours
from app.simulator.request_rules import CallParameters


@dataclass(frozen=True)
class Plan:
    """What becomes of a call: when it rings (None for a lead), and the queue it stands in, if any."""

    ring_at: datetime | None
    note: str
    night: date | None = None
    """The working day whose morning queue the call stands in."""


def is_open(hours: WorkingHours, moment: datetime) -> bool:
    """Tell whether managers answer at that moment."""
    local = moment.astimezone(hours.zone)
    return local.weekday() in hours.days and hours.opens <= local.hour < hours.closes


def next_opening(hours: WorkingHours, moment: datetime) -> datetime:
    """Find the first opening after a moment outside working hours, in UTC."""
    local = moment.astimezone(hours.zone)
    day = local.date()
    if local.hour >= hours.opens:
        day += timedelta(days=1)
    while day.weekday() not in hours.days:
        day += timedelta(days=1)
    return _at(hours, day, hours.opens)


def plan(call: CallParameters, hours: WorkingHours, now: datetime, queued_for: Callable[[date], int]) -> Plan:
    """Decide when a call rings; `queued_for(day)` tells how many calls stand in that day's queue of the site."""
    planned = call.planned_time is not None and call.planned_time > now
    moment = call.planned_time if planned and call.planned_time is not None else now
    if is_open(hours, moment):
        return Plan(moment, "planned_time" if planned else "in working hours, at once")
    if call.nwt_action == "create_leed":
        return Plan(None, "outside working hours: a lead by e-mail, no phone rings")
    if call.nwt_action == "always_call":
        opening = next_opening(hours, moment)
        day = opening.astimezone(hours.zone).date()
        start = opening if call.call_stack_start_hour is None else _at(hours, day, call.call_stack_start_hour)
        start = start if start > moment else opening
        place = queued_for(day)
        ring_at = start + place * timedelta(minutes=call.call_stack_interval or 0)
        return Plan(ring_at, f"outside working hours: number {place + 1} in the queue for {day:%d-%m-%Y}", day)
    return Plan(moment, "outside working hours, no nwt_action: the simulator rings all the same")


def _at(hours: WorkingHours, day: date, hour: int) -> datetime:
    """Find that hour (0-24) of that day on the site's clock, in UTC."""
    local = datetime.combine(day + timedelta(days=hour // 24), time(hour % 24), hours.zone)
    return local.astimezone(UTC)
