"""Sites of the property tests, and a naive model of the moments at which Chaser may ring a phone for them.

The model is written from the rules, not from the code. Working hours are whole hours of one range a day, because the
simulator of Chaser has no others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, Account, Options, Site, WorkingHours

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Shop:
    """A site: its hours at Chaser, and whether the service knows them. `days`: the first and the last weekday."""

    name: str
    timezone: str = "Europe/Moscow"
    days: tuple[int, int] = (0, 4)
    opens: int = 9
    closes: int = 18
    known: bool = True
    action: str | None = None
    hour: int | None = None
    interval: int | None = None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def works(self, day: date) -> bool:
        return self.days[0] <= day.weekday() <= self.days[1]

    def at(self, day: date, hour: int) -> datetime:
        """Return an hour of a day in UTC; 24 is the end of the day."""
        local = datetime.combine(day + timedelta(days=hour // 24), time(hour % 24), self.zone)
        return local.astimezone(UTC)

    def is_open(self, moment: datetime) -> bool:
        local = moment.astimezone(self.zone)
        return self.works(local.date()) and self.opens <= local.hour < self.closes

    def next_working_day(self, moment: datetime) -> date:
        """Return the day of the first opening after a moment."""
        day = moment.astimezone(self.zone).date()
        while not self.works(day) or self.at(day, self.opens) <= moment:
            day += timedelta(days=1)
        return day

    def open_times(self, now: datetime) -> Iterator[datetime]:
        """Yield the open half hours after `now`, for which a visitor may plan a call."""
        moment = datetime.fromtimestamp(now.timestamp() // 1800 * 1800 + 1800, UTC)
        while moment <= now + timedelta(days=7):
            if not self.known or self.is_open(moment):
                yield moment
            moment += timedelta(minutes=30)

    def settings(self, origin: str) -> dict[str, Any]:
        """Return the settings of the site as plain values."""
        hours = f"{DAYS[self.days[0]]}-{DAYS[self.days[1]]} {self.opens:02}:00-{self.closes:02}:00"
        values: dict[str, Any] = {
            "site_id": number_of(self),
            "origins": [origin],
            "timezone": self.timezone,
            "working_hours": hours if self.known else None,
            "nwt_action": self.action,
            "call_stack_start_hour": self.hour,
            "call_stack_interval": self.interval,
            "departments": {
                "sales": {"name": "Sales", "manager_phone": "+74950000002"},
                "service": {"name": "Service"},
            },
        }
        return {name: value for name, value in values.items() if value is not None}


SHOPS = (
    Shop("day"),
    Shop("stack", action="always_call", hour=11, interval=5),
    Shop("west", "America/New_York", (0, 6), 10, 22, action="always_call"),
    Shop("lead", "Asia/Kolkata", (0, 5), action="create_leed"),
    Shop("unknown", "Europe/Berlin", (0, 4), 8, 20, known=False),
    Shop("always", days=(0, 6), opens=0, closes=24, action="always_call"),
)
SHOP = {shop.name: shop for shop in SHOPS}


def number_of(shop: Shop) -> int:
    """Return the number of a site at Chaser."""
    return 1000 + SHOPS.index(shop)


def chaser_options() -> Options:
    """Return the options of a simulator that has these sites with their hours."""
    sites = tuple(
        Site(
            str(number_of(shop)),
            shop.name,
            hours=WorkingHours(
                shop.opens, shop.closes, frozenset(range(shop.days[0], shop.days[1] + 1)), shop.timezone
            ),
        )
        for shop in SHOPS
    )
    return Options((Account(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, sites),))


Terms = tuple[str | None, int | None, int | None]
"""What Chaser does while closed, its start hour, and its interval in minutes."""


@dataclass(frozen=True)
class Ring:
    """The earliest and the latest moment at which a phone may ring. A lead rings no phone."""

    at: datetime
    until: datetime
    certain: bool = True
    lead: bool = False


def ring(shop: Shop, wanted: datetime, now: datetime, terms: Terms | None = None) -> Ring:
    """Return when a call that is wanted at a time and sent `now` rings."""
    action, hour, interval = terms or (shop.action, shop.hour, shop.interval)
    if not shop.known:
        return Ring(wanted, wanted + timedelta(days=1), certain=False)
    if shop.is_open(wanted):
        if shop.is_open(wanted + MINUTE):
            return Ring(wanted, wanted)
        today = wanted.astimezone(shop.zone).date()
        day = today if action == "create_leed" else shop.next_working_day(wanted)
        return Ring(wanted, shop.at(day, shop.closes), certain=False)
    if action == "create_leed":
        return Ring(now, now, certain=False, lead=True)
    day = shop.next_working_day(wanted)
    if action is None:
        return Ring(wanted, shop.at(day, shop.closes), certain=False)
    start = shop.at(day, shop.opens if hour is None else hour)
    start = start if start > wanted else shop.at(day, shop.opens)
    return Ring(start, max(start, shop.at(day, shop.closes)) if interval else start)


def most_in_window(others: list[Ring], new: Ring, window: timedelta) -> int:
    """Return the most of the other rings that may fall into one window together with the new one."""
    ends = [new.until, *(other.until for other in others if new.at - window < other.until <= new.until)]
    return max(sum(other.until >= end and other.at < end + window for other in others) for end in ends)
