"""No phone rings more often in any window than its cap, by the ledger of the simulator, resends included."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from limits import parse_many

from tests.admission.history import START, Ask, Event, Played, Step, history_settings, playing
from tests.admission.strategies import PHONES, acts, faults, histories, hold, latencies, plans, repeats, starts
from tests.faults.doses import dose

CAP = "2/hour;3/day"
MOST_PLANNED = 3
WAITING = ("queued", "sending", "placed", "unknown")
REST = Step(6 * 3600)
"""Longer than any call waits for its last attempt."""


async def check_planned(service: Played, start: datetime, history: Sequence[Event]) -> None:
    await service.reset(start)
    for one in history:
        await service.do(one)
        waiting = [row for row in await service.stored() if is_planned(row, service.clock())]
        assert len(waiting) <= MOST_PLANNED, f"{len(waiting)} planned calls wait: {waiting}"


def is_planned(row: dict[str, Any], now: datetime) -> bool:
    """Return whether a call waits that a visitor has planned."""
    planned = row["planned_time"] and datetime.fromisoformat(row["planned_time"])
    return bool(row["api_key"] is None and planned and planned > now and row["status"] in WAITING)


async def check_caps(service: Played, start: datetime, latency: timedelta, history: Sequence[Event]) -> None:
    await service.reset(start, latency)
    await service.play([*history, REST])
    rings = defaultdict(list)
    for call in service.chaser.calls():
        rings[call.client_phone].append(call.ring_at or call.received_at)  # a lead counts when it is sent
    for limit in parse_many(CAP):
        for phone, times in rings.items():
            times.sort()
            for first, beyond in zip(times, times[limit.amount :], strict=False):
                within = (beyond - first) < timedelta(seconds=limit.get_expiry())
                assert not within, f"{phone} rings {limit.amount + 1} times within {limit}: {times}"


def test_no_phone_rings_more_often_than_its_cap(migrated_url: str, tmp_path: Path) -> None:
    events = histories(dose(25, 60), acts, faults, repeats, phones=PHONES[:2])
    with playing(migrated_url, history_settings(tmp_path, quotas={"per_phone": CAP})) as runner:
        hold(runner, dose(20, 600), check_caps, starts(), latencies, events)


def test_a_call_planned_in_seconds_counts_when_it_rings(migrated_url: str, tmp_path: Path) -> None:
    """A planned time in less than 30 s is not sent to Chaser. The phone must not ring sooner than it was counted."""
    phone, address = PHONES[0], "203.0.113.1"
    full = [Ask("always", phone, address), Ask("always", phone, address, "sales"), Step(3590)]
    with playing(migrated_url, history_settings(tmp_path, quotas={"per_phone": CAP})) as runner:
        planned = Ask("always", phone, address, plan_seconds=15)
        runner.run(check_caps(runner.service, START, timedelta(0), [*full, planned]))


def test_at_most_three_calls_wait_for_a_phone_that_visitors_planned(migrated_url: str, tmp_path: Path) -> None:
    with playing(migrated_url, history_settings(tmp_path)) as runner:
        hold(runner, dose(15, 200), check_planned, starts(), plans())
