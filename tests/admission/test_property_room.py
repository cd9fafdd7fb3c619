"""A request whose number, address and site have room, and which nothing marks, is neither refused nor held.

The room is counted by a naive model: it reads all callbacks through the API and follows the rules word for word. Where
the rules leave a choice it counts more, so that it finds no room where a service may find some.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from limits import RateLimitItem, parse_many

from tests.admission.history import BLOCKED_PHONE, Answer, Ask, Event, Played, Repeat, Same, history_settings, playing
from tests.admission.shops import SHOP, Ring, most_in_window, ring
from tests.admission.strategies import PHONES, acts, faults, histories, hold, latencies, repeats, starts
from tests.faults.doses import dose

QUOTAS = {
    "per_phone": "2/hour;4/day",
    "per_address": "3/minute;8/hour",
    "per_address_phones": "2/minute;4/hour",
    "per_site": "6/hour;12/day",
    "held_per_site": "200/day",
}
MINUTE = timedelta(minutes=1)
NEAR = timedelta(seconds=30)
"""A planned time nearer than this is sent without it, and rings at once."""
PHONES_A_MINUTE, PLANNED_BY_VISITORS = 20, 3
WAITING = ("queued", "sending", "placed", "unknown")
RANG = ("placed", "unknown", None)

Row = dict[str, Any]


def moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def window_of(limit: RateLimitItem) -> timedelta:
    return timedelta(seconds=limit.get_expiry())


def limits(name: str) -> list[RateLimitItem]:
    return parse_many(QUOTAS[name])


def rings_of(row: Row, now: datetime) -> list[Ring]:
    """Return each ring that was sent or is to come."""
    wanted = moment(row["planned_time"]) or moment(row["created_at"])
    terms = row["nwt_action"], row["call_stack_start_hour"], row["call_stack_interval"]
    sent = [moment(attempt["started_at"]) for attempt in row["attempts"] if attempt["outcome"] in RANG]
    sent += [now] if row["due_at"] is not None else []
    return [ring(SHOP[row["site"]], max(wanted, at), at, terms) for at in sent]


def networks(address: str) -> list[tuple[str, int]]:
    """Return the networks in which an address is counted, with the multiple of its limits."""
    widths = ((64, 1), (56, 2), (48, 4)) if ":" in address else ((32, 1),)
    return [(str(ip_network(f"{address}/{width}", strict=False)), multiple) for width, multiple in widths]


def wide(address: str) -> str:
    return str(ip_network(f"{address}/{48 if ':' in address else 24}", strict=False))


class Room:
    """What is stored at the moment of a request, and whether there is room for it."""

    def __init__(self, rows: Sequence[Row], answer: Answer) -> None:
        self.rows = rows
        self.answer = answer
        self.now = answer.at
        self.ask = answer.ask

    def __bool__(self) -> bool:
        return self.of_phone() and self.of_site() and (self.ask.address is None or self.of_address(self.ask.address))

    def of_phone(self) -> bool:
        mine = [row for row in self.rows if row["client_phone"] == self.ask.phone]
        planned = [row for row in mine if self.is_planned(row)]
        if self.ask.address is not None and "planned_time" in self.answer.sent and len(planned) >= PLANNED_BY_VISITORS:
            return False
        return self.fits(mine, "per_phone")

    def is_planned(self, row: Row) -> bool:
        at = moment(row["planned_time"])
        return row["api_key"] is None and row["status"] in WAITING and at is not None and at > self.now

    def of_site(self) -> bool:
        here = [row for row in self.rows if row["site"] == self.ask.shop]
        address = self.ask.address
        near = [row for row in here if address and row["api_key"] is None and wide(row["client_ip"]) == wide(address)]
        return self.fits(here, "per_site") and self.fits(near, "per_site", share=2)

    def fits(self, rows: Sequence[Row], quota: str, share: int = 1) -> bool:
        others = [one for row in rows for one in rings_of(row, self.now)]
        new = self.new_ring()
        return all(most_in_window(others, new, window_of(limit)) < limit.amount // share for limit in limits(quota))

    def new_ring(self) -> Ring:
        planned = self.answer.sent.get("planned_time")
        wanted = self.now if planned is None else datetime.fromtimestamp(planned, self.now.tzinfo)
        wanted = wanted if wanted - self.now > NEAR else self.now
        shop, extra = SHOP[self.ask.shop], dict(self.ask.extra)
        action = extra.get("nwt_action", shop.action)
        stack = (extra.get("call_stack_start_hour", shop.hour), extra.get("call_stack_interval", shop.interval))
        return ring(shop, wanted, self.now, (action, *(stack if action == "always_call" else (None, None))))

    def of_address(self, address: str) -> bool:
        for network, multiple in networks(address):
            asked = [row for row in self.rows if row["api_key"] is None and network in dict(networks(row["client_ip"]))]
            here = [row for row in asked if row["site"] == self.ask.shop]
            if len(self.phones(asked, MINUTE)) >= PHONES_A_MINUTE:
                return False
            if any(len(self.recent(here, window_of(one))) >= one.amount * multiple for one in limits("per_address")):
                return False
            if any(
                len(self.phones(here, window_of(one))) >= one.amount * multiple for one in limits("per_address_phones")
            ):
                return False
        return True

    def recent(self, rows: Sequence[Row], window: timedelta) -> list[Row]:
        return [row for row in rows if (moment(row["created_at"]) or self.now) > self.now - window]

    def phones(self, rows: Sequence[Row], window: timedelta) -> set[str]:
        return {row["client_phone"] for row in self.recent(rows, window)} - {self.ask.phone}


async def check_room(service: Played, start: datetime, latency: timedelta, history: Sequence[Event]) -> None:
    await service.reset(start, latency)
    for one in history:
        before = await service.stored() if isinstance(one, Ask | Same) else []
        result = await service.do(one)
        if not isinstance(result, Answer) or isinstance(one, Repeat):
            continue
        if result.ask.honeypot or result.ask.phone == BLOCKED_PHONE or result.replayed:
            continue
        if result.status == 422:  # the time is not open, or the key was used before
            continue
        if result.accepted and (await service.details(result.id))["held_for"] is None:
            continue
        room = Room(before, result)
        assert not room, f"refused or held although there is room: {result}"


def test_a_request_with_room_is_neither_refused_nor_held(migrated_url: str, tmp_path: Path) -> None:
    phones = (*PHONES, BLOCKED_PHONE)
    events = histories(dose(25, 60), acts, faults, repeats, phones=phones, crowds=False)
    with playing(migrated_url, history_settings(tmp_path, quotas=QUOTAS)) as runner:
        hold(runner, dose(15, 600), check_room, starts(), latencies, events)
