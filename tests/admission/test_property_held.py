"""What never rings changes no stranger's answer: held requests, duplicates and refused ones.

One history is played twice, the second time with such requests of other people inserted. All others are told the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.admission.history import (
    BLOCKED_ADDRESS,
    BLOCKED_PHONE,
    Answer,
    Ask,
    Event,
    Played,
    history_settings,
    playing,
)
from tests.admission.strategies import (
    acts,
    asks,
    histories,
    hold,
    looks,
    repeats,
    setbacks,
    starts,
)
from tests.faults.doses import dose

OTHERS = ("203.0.113.77", "203.0.113.78", "192.0.2.1", "192.0.2.2", "2001:db8:77::1", "2001:db8:78::1")
"""Addresses of the inserted requests: of a /24 in common with others, but of another /48."""
KINDS = ("honeypot", "echo", "blocked_phone", "blocked_address", "origin", "department", "past")
QUOTAS = {
    "per_phone": "3/hour;5/day",
    "per_address": "4/minute;8/hour",
    "per_address_phones": "2/minute;4/hour",
    "per_site": "6/hour;12/day",
    "held_per_site": "200/day",
}


@dataclass(frozen=True)
class Noise:
    """A request that never rings, before the n-th event. An echo repeats the latest request by another visitor."""

    before: int
    kind: str
    ask: Ask

    def chosen(self, latest: Answer | None, *, rings: bool) -> Ask | None:
        """Return the request, None if there is nothing to echo."""
        match self.kind:
            case "echo":
                return replace(latest.ask, address=self.ask.address, request_id=None) if latest and rings else None
            case "honeypot":
                return replace(self.ask, honeypot=True)
            case "blocked_phone":
                return replace(self.ask, phone=BLOCKED_PHONE)
            case "blocked_address":
                return replace(self.ask, address=BLOCKED_ADDRESS)
            case "origin":
                return replace(self.ask, origin="https://other.example")
            case "department":
                return replace(self.ask, department="none")
        return replace(self.ask, plan=None, plan_seconds=-60)


async def told(service: Played, start: datetime, history: Sequence[Event], noises: Sequence[Noise]) -> list[Any]:
    """Play a history with noise, and return what the others are told."""
    await service.reset(start)
    results: list[Any] = []
    for number, one in enumerate(history):
        for noise in noises:
            if noise.before == number:
                await make(service, noise, history[number - 1] if number else None)
        result = await service.do(one)
        results.append(result.told if isinstance(result, Answer) else result)
    calls = [call.params["active_page"] for call in service.chaser.calls()]
    for answer in service.noise:
        assert answer.sent["active_page"] not in calls, f"the noise rang: {answer}"
    return results + [await service.public(answer.id) for answer in service.answers if answer.accepted]


async def make(service: Played, noise: Noise, before: Event | None) -> None:
    latest = service.answers[-1] if service.answers and isinstance(before, Ask) else None
    rings = latest is not None and latest.accepted and latest.ask.address is not None and latest.ask.again is None
    if rings and noise.kind == "echo":
        rings = (await service.details(latest.id))["status"] in ("queued", "placed")
    ask = noise.chosen(latest, rings=rings)
    if ask is not None:
        await service.intrude(ask)


async def check_strangers(service: Played, start: datetime, history: Sequence[Event], noises: Sequence[Noise]) -> None:
    alone = await told(service, start, history, ())
    with_noise = await told(service, start, history, noises)
    for one, quiet, loud in zip([*history, *service.answers], alone, with_noise, strict=False):
        assert loud == quiet, f"{one}: alone {quiet}, with the noise {loud}"
    assert len(alone) == len(with_noise)


def test_a_request_that_never_rings_changes_no_answer(migrated_url: str, tmp_path: Path) -> None:
    longest = dose(20, 50)
    noises = st.builds(
        Noise,
        st.integers(0, longest),
        st.sampled_from(KINDS),
        asks(addresses=OTHERS, keys=False, honeypots=False),
    )
    events = histories(longest, acts, looks, repeats, setbacks, honeypots=False, crowds=False)
    with playing(migrated_url, history_settings(tmp_path, quotas=QUOTAS)) as runner:
        hold(runner, dose(15, 300), check_strangers, starts(), events, st.lists(noises, min_size=1, max_size=8))
