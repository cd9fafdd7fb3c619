"""The service in this process and a simulated Chaser, both on one clock that only the test moves.

    with world(database_url) as here:
        here.at(SUNDAY_NIGHT)
        answer = here.ask("79161234567")
        assert here.rings("79161234567") == [MONDAY_9]

Visitors come through a trusted proxy, so that a test chooses their addresses.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx2
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, Account, Options, WorkingHours
from app.simulator.options import Site as ChaserSite
from tests.running import AT_ONCE, AUTHORIZED, ORIGIN, Chaser, Clock, chaser, until, values

MOSCOW = ZoneInfo("Europe/Moscow")
PROXY = "127.0.0.2"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WIDE = "100000/day"
WIDE_QUOTAS = {
    "per_phone": "3/hour;5/day",
    "per_address": WIDE,
    "per_address_phones": WIDE,
    "per_site": WIDE,
    "held_per_site": WIDE,
}
"""The cap of a phone is the default one. A test narrows the limits that it is about."""


def moscow(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """Return a time in November 2026 in Moscow, as UTC. The 16th, 23rd and 30th are Mondays."""
    return datetime(2026, 11, day, hour, minute, second, tzinfo=MOSCOW).astimezone(UTC)


NOW = moscow(23, 12)  # a Monday


@dataclass(frozen=True)
class Shop:
    """A site, with the same working hours in the settings and at Chaser. `hours`: None leaves them unset in ours."""

    opens: int = 0
    closes: int = 24
    days: Sequence[int] = range(7)
    timezone: str = "Europe/Moscow"
    hours_known: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_settings(self, number: int) -> dict[str, Any]:
        """Return the settings of this site, with its number at Chaser."""
        opening = f"{self.opens:02}:00-{self.closes:02}:00"
        hours = {"working_hours": ", ".join(f"{WEEKDAYS[day]} {opening}" for day in self.days)}
        return {
            "site_id": number,
            "origins": [ORIGIN],
            "challenge": "off",
            "timezone": self.timezone,
            **(hours if self.hours_known else {}),
            **self.settings,
        }

    def to_chaser(self, number: int) -> ChaserSite:
        """Return this site as the simulator knows it."""
        hours = WorkingHours(self.opens, self.closes, frozenset(self.days), self.timezone)
        return ChaserSite(str(number), "shop.example", hours=hours)


OPEN = Shop()
"""A site that is always open, so that every call rings at once."""


def office(start: int | None = 9, days: Sequence[int] = range(5), **settings: Any) -> Shop:
    """Return a site that is open from 9 to 18, from Monday to Friday. Requests of the night are called from `start`."""
    always = {"nwt_action": "always_call"} | ({} if start is None else {"call_stack_start_hour": start})
    return Shop(9, 18, days, settings=always | settings)


class World:
    """The running service, its clock and its Chaser."""

    def __init__(self, http: httpx2.Client, clock: Clock, far_side: Chaser) -> None:
        self.http = http
        self.clock = clock
        self.far_side = far_side
        self._addresses = (str(ip_address("100.64.0.1") + 257 * number) for number in itertools.count())
        self._set(clock.now)

    def at(self, moment: datetime) -> None:
        """Set both clocks, once everything that is due has been sent."""
        self.settle()
        self._set(moment)

    def later(self, **by: float) -> None:
        """Advance both clocks, for example `later(minutes=2)`."""
        self.at(self.clock.now + timedelta(**by))

    def new_address(self) -> str:
        """Return an address in a /24 that no visitor has used."""
        return next(self._addresses)

    def ask(self, number: str, address: str | None = None, **fields: Any) -> httpx2.Response:
        """Send a visitor's request for the site `shop`, by default from a new address."""
        headers = {"origin": ORIGIN, "x-forwarded-for": address or self.new_address()}
        body = {"site": "shop", "client_phone": number} | fields
        return self.http.post("/v1/callbacks", json=body, headers=headers)

    def order(self, number: str, **fields: Any) -> httpx2.Response:
        """Send a request with an API key."""
        body = {"site": "shop", "client_phone": number} | fields
        return self.http.post("/v1/callbacks", json=body, headers=AUTHORIZED)

    def accepted(self, number: str, address: str | None = None, **fields: Any) -> str:
        """Send a visitor's request that is accepted, and return its id."""
        answer = self.ask(number, address, **fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def shown(self, callback_id: str) -> dict[str, Any]:
        """Return the callback as a visitor sees it."""
        answer = self.http.get(f"/v1/callbacks/{callback_id}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def stored(self, callback_id: str) -> dict[str, Any]:
        """Return the callback as an API key sees it."""
        answer = self.http.get(f"/v1/callbacks/{callback_id}", headers=AUTHORIZED)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def listed(self, **filters: str) -> list[dict[str, Any]]:
        """Return all callbacks that an API key finds, newest first."""
        found: list[dict[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            answer = self.http.get("/v1/callbacks", params={"limit": "100"} | filters | page, headers=AUTHORIZED)
            assert answer.status_code == 200, answer.text
            found += answer.json()["callbacks"]
            if answer.json()["next_cursor"] is None:
                return found
            page = {"cursor": answer.json()["next_cursor"]}

    def not_sent(self, times: int | None = None) -> None:
        """Let the next calls fail before Chaser executes them, so that they are retried; None: until cleared."""
        self.far_side.fault("status", status=503, headers={"Retry-After": "30"}, times=times)

    def act(self, callback_id: str, action: str) -> httpx2.Response:
        """Release, retry or cancel a callback with an API key."""
        return self.http.post(f"/v1/callbacks/{callback_id}/{action}", headers=AUTHORIZED)

    def block(self, entry: str) -> None:
        """Block an address, a network or a phone with its plus."""
        answer = self.http.post("/v1/blocklist", json={"entry": entry}, headers=AUTHORIZED)
        assert answer.is_success, answer.text

    def settle(self) -> None:
        """Wait until everything that is due now has been sent."""
        until(lambda: not any(map(self._is_due, self._waiting())) and not self.listed(status="sending"))

    def calls(self, number: str) -> list[dict[str, Any]]:
        """Return the calls of a phone at Chaser, in the order in which it received them."""
        self.settle()
        return self.far_side.calls(client_phone=number)

    def rings(self, number: str) -> list[datetime]:
        """Return the times at which Chaser lets a phone ring, in UTC, in order."""
        times = [call["ring_at"] for call in self.calls(number) if call["ring_at"] is not None]
        return sorted(datetime.fromisoformat(time) for time in times)

    def _set(self, moment: datetime) -> None:
        # First the clock of Chaser: a callback that becomes due by the other one must ring at the new time.
        self.far_side.http.post("clock", json={"now": moment.isoformat(), "frozen": True}).raise_for_status()
        self.clock.now = moment
        # A write comes after those in the queue, so no claim with the former time is under way any more. To it a new
        # request would be far in the future: due, as if the clock had been set back.
        self.http.delete("/v1/blocklist/192.0.2.255", headers=AUTHORIZED)

    def _waiting(self) -> list[dict[str, Any]]:
        # Read before those being sent: otherwise a callback claimed in between would be in neither list.
        return self.listed(status="queued") + self.listed(status="unknown")

    def _is_due(self, callback: Mapping[str, Any]) -> bool:
        return callback["due_at"] is not None and datetime.fromisoformat(callback["due_at"]) <= self.clock.now


@contextmanager
def world(
    database_url: str,
    shops: Mapping[str, Shop] | None = None,
    *,
    now: datetime = NOW,
    poll_interval: float = AT_ONCE,
    **settings: Any,
) -> Iterator[World]:
    """Run the service with these sites, by default one `shop` that is always open.

    `settings` are merged into those of `tests.running.values`; `quotas` into WIDE_QUOTAS.
    """
    numbered = dict(enumerate((shops or {"shop": OPEN}).items(), 1))
    sites = tuple(shop.to_chaser(number) for number, (_, shop) in numbered.items())
    with chaser(Options((Account(DEMO_CLIENT_ID, DEMO_PRIVATE_KEY, sites),), ring_seconds=0)) as far_side:
        quotas = WIDE_QUOTAS | settings.pop("quotas", {})
        # A busy machine must not turn a call into an unknown one, which is sent twice.
        settings = {"chaser": {"timeout": "60s"}, "trusted_proxies": [PROXY]} | settings
        chosen = values(Path(), far_side.api_url, database_url=database_url, **settings)
        chosen["sites"] = {name: shop.to_settings(number) for number, (name, shop) in numbered.items()}
        chosen["quotas"] = quotas
        clock = Clock(now)
        app = create_app(Settings.model_validate(chosen), clock=clock, poll_interval=poll_interval)
        with TestClient(app, client=(PROXY, 1)) as http:
            yield World(http, clock, far_side)


def most_in(window: timedelta, rings: Sequence[datetime]) -> int:
    """Return the largest number of rings in any window of this length."""
    return max((sum(first <= ring < first + window for ring in rings) for first in rings), default=0)


def created_at(callback_id: str) -> datetime:
    """Return the time in an id, a UUID of version 7."""
    return datetime.fromtimestamp((UUID(callback_id).int >> 80) / 1000, UTC)


def assert_capped(rings: Sequence[datetime]) -> None:
    """Check that a phone rings at most three times in any hour and five times in any day."""
    assert most_in(HOUR, rings) <= 3, rings
    assert most_in(DAY, rings) <= 5, rings


def assert_refused(answer: httpx2.Response, code: str, status: int = 429) -> None:
    """Check the code of a refusal. The answer of a phone's cap is the same however often it was asked for."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    if code == "quota_phone":
        assert answer.headers["retry-after"] == "3600"


def comparable(answer: httpx2.Response) -> dict[str, Any]:
    """Return an answer without the parts that differ for every request."""
    body = {name: value for name, value in answer.json().items() if name not in ("id", "request_id")}
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    return {"status": answer.status_code, "body": body, "headers": headers}
