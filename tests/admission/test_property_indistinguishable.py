"""A stranger can't learn whether a number was asked for before.

Two worlds differ in one earlier request for a number, by another visitor. A stranger asks for that number, with the
same steps of the clock, while Chaser always takes the same time. Answers, statuses and numbers of statements are equal
in both, except where the phone's cap decides: it is told, as a refusal for an hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from tests.admission.history import UNKNOWN, Ask, Played, Step, history_settings, playing
from tests.admission.strategies import NAMES, V4, V6, asks, hold, setbacks, starts, steps
from tests.faults.doses import dose

NUMBER, ANOTHER = "79161000001", "79161000002"
OFFSETS = (0, 1, 3, 5, 30, 61, 3600, 6 * 86400, 8 * 86400)
"""Seconds after the last request at which all statuses are read."""
EARLIER, STRANGERS = (V4[0], V6[0]), (V4[1], V4[3], V6[4])
QUOTAS = {"per_phone": "4/hour;5/day", "per_address": "2/minute;6/hour"}
LATENCIES = (0.0, 0.6, 2.5, 4.0, 8.0)


@dataclass(frozen=True)
class Case:
    """The earlier request, the requests of the stranger with the step before each, and the latency in seconds."""

    earlier: Ask
    later: tuple[tuple[Step, Ask], ...]
    latency: float
    absent: bool
    """Whether the other world lacks the earlier request. Otherwise it is for another number there."""


@st.composite
def cases(draw: st.DrawFn) -> Case:
    shops = (draw(st.sampled_from(NAMES)),)
    if draw(st.integers(0, 3)) == 3:
        shops = NAMES
    earlier = draw(asks(shops, (NUMBER,), EARLIER, keys=False, again=False))
    stranger = (draw(st.sampled_from(STRANGERS)),)
    short = st.builds(Step, st.sampled_from((0.2, 0.5, 1, 3, 20, 30, 59, 60, 61, 3600)))
    latency = draw(st.sampled_from(LATENCIES))
    # A jump of the clock during a call would change how long the call seems to take.
    before = st.one_of(short, short, steps, short if latency else setbacks)
    request = asks(shops, (NUMBER,), stranger, keys=False).map(_without_others_ids)
    later = draw(st.lists(st.tuples(before, request), min_size=1, max_size=3))
    return Case(earlier, tuple(later), latency, draw(st.booleans()))


def _without_others_ids(ask: Ask) -> Ask:
    return ask if ask.again in (None, 0) else replace(ask, again=UNKNOWN)


async def seen(service: Played, start: datetime, case: Case, earlier: Ask | None) -> list[Any]:
    """Play a world, and return what the stranger sees: answers and statuses, each with its number of statements."""
    await service.reset(start, timedelta(seconds=case.latency))
    results: list[Any] = []
    if earlier is not None:
        await service.intrude(earlier)
        if service.noise[0].status != 202:
            assume(False)  # refused, so the worlds don't differ
    for step, ask in case.later:
        await service.do(step)
        answer = await service.ask(ask)
        results.append(("answer", answer.told, service.of_request))
        results += await statuses(service, "now")
    before = 0
    for offset in OFFSETS:
        await service.do(Step(offset - before))
        before = offset
        results += await statuses(service, f"after {offset} s")
    return results


async def statuses(service: Played, when: str) -> Sequence[Any]:
    results = []
    for answer in service.answers:
        if answer.accepted:
            service.statements.clear()
            results.append((when, answer.number, await service.public(answer.id), len(service.statements)))
    return results


def capped(results: Sequence[Any]) -> bool:
    return any("quota_phone" in str(result) for result in results)


async def check_worlds(service: Played, start: datetime, case: Case) -> None:
    one = await seen(service, start, case, case.earlier)
    other = await seen(service, start, case, None if case.absent else replace(case.earlier, phone=ANOTHER))
    if capped(one) or capped(other):
        return
    for with_request, without in zip(one, other, strict=True):
        assert with_request == without, f"with the earlier request {with_request}, without {without}"


def test_a_stranger_cannot_tell_whether_a_number_was_asked_for(migrated_url: str, tmp_path: Path) -> None:
    with playing(migrated_url, history_settings(tmp_path, quotas=QUOTAS)) as runner:
        hold(runner, dose(15, 600), check_worlds, starts(), cases())
