"""With Chaser answering 200, every request that is neither refused nor held rings at its promised time.

Or it was merged into a ring within the window of duplicates around that time.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.admission.history import Answer, Ask, Event, Played, history_settings, playing
from tests.admission.shops import SHOP, Ring, ring
from tests.admission.strategies import acts, histories, hold, latencies, repeats, starts
from tests.faults.doses import dose

DUPLICATE_WINDOW = timedelta(seconds=60)
NEAR = timedelta(seconds=30)
"""A planned time nearer than this is sent without it: by Chaser's clock it may be past."""
DUPLICATES_KEPT = timedelta(days=7)


def ring_of(answer: Answer, now: datetime) -> Ring:
    """Return when an accepted request rings that is sent now."""
    planned = answer.sent.get("planned_time")
    planned_time = None if planned is None else datetime.fromtimestamp(planned, now.tzinfo)
    wanted = planned_time if planned_time is not None and planned_time > now + NEAR else now
    shop, extra = SHOP[answer.ask.shop], dict(answer.ask.extra)
    action = extra.get("nwt_action", shop.action)
    hour, interval = extra.get("call_stack_start_hour", shop.hour), extra.get("call_stack_interval", shop.interval)
    return ring(shop, wanted, now, (action, hour, interval) if action == "always_call" else (action, None, None))


def promise(callback: dict[str, Any]) -> datetime | None:
    at = callback["call_expected_at"]
    return None if at is None else datetime.fromisoformat(at)


async def check_promises(service: Played, start: datetime, latency: timedelta, history: Sequence[Event]) -> None:
    await service.reset(start, latency)
    rings: dict[str, Ring] = {}
    answers: dict[str, Answer] = {}
    replayed: list[Answer] = []
    for one in history:
        result = await service.do(one)
        for answer in result if isinstance(result, list) else [result]:
            if isinstance(answer, Answer) and answer.replayed:
                replayed.append(answer)
            if isinstance(answer, Answer) and answer.accepted and not answer.replayed and not answer.body["duplicate"]:
                answers[answer.id], rings[answer.id] = answer, ring_of(answer, answer.at)
                expected = rings[answer.id].at if rings[answer.id].certain else None
                assert promise(answer.body) == expected, f"{answer} promises another time than {expected}"
    for answer in [*answers.values(), *replayed]:
        if answer.released_at is not None and answer.id in answers:
            rings[answer.id] = ring_of(answers[answer.id], answer.released_at)
    await service.step(latency)
    for name in answers.keys() - {row["id"] for row in await service.stored()}:
        assert service.clock() - answers.pop(name).at >= DUPLICATES_KEPT, f"{name} was deleted too soon"
        del rings[name]
    await check_one_call_for_a_wish(service, answers, rings)
    for name, answer in answers.items():
        await check_call(service, answers, rings, name)
        if answer.body["duplicate"]:
            await check_call(service, answers, rings, answer.id)


async def check_one_call_for_a_wish(service: Played, answers: dict[str, Answer], rings: dict[str, Ring]) -> None:
    """Check that equal wishes for the same time ring once, unless a visitor said that the first did not ring."""
    rung = []
    for name in rings:
        callback = await service.details(name)
        if callback["status"] == "placed":
            rung.append((callback["created_at"], name, callback["again_of"]))
    for number, (_, name, again) in enumerate(sorted(rung)):
        for _, earlier, _ in sorted(rung)[:number]:
            near = abs(rings[name].at - rings[earlier].at) <= DUPLICATE_WINDOW
            near = near and rings[name].lead == rings[earlier].lead  # a lead rings nobody
            same = same_wish(answers[name].ask, answers[earlier].ask)
            assert not (near and same) or again, f"{answers[earlier]} and {answers[name]} both rang"


async def check_call(service: Played, answers: dict[str, Answer], rings: dict[str, Ring], name: str) -> None:
    """Check that the call of a request was made as promised, or that of its original."""
    callback = await service.details(name)
    status, expected = callback["status"], rings[name]
    calls = [call for call in service.chaser.calls() if call.params.get("active_page") == callback["active_page"]]
    if status == "duplicate" and callback["held_for"] is not None:
        status = "held"  # beside an equal request that is held for the same reason
    if status in ("held", "duplicate", "cancelled"):
        assert calls == [] or status == "cancelled", f"{callback} is {status}, and rang"
    else:
        assert len(calls) == 1, f"{callback} rang {len(calls)} times"
    if status == "duplicate":
        original = callback["duplicate_of"]
        assert abs(rings[original].at - expected.at) <= DUPLICATE_WINDOW, f"{callback}: {rings[original]}, {expected}"
        assert same_wish(answers[original].ask, answers[name].ask), f"{callback} was merged into {answers[original]}"
        kind = (await service.details(original))["status"]
        assert kind in ("placed", "cancelled"), f"{callback} was merged into a callback that is {kind}"
    for call in calls:
        assert (call.ring_at is None) == expected.lead, f"{callback}: {call}"
        if call.ring_at is not None:
            assert expected.at <= call.ring_at <= expected.until, f"{call} rings outside {expected}"
        assert call.received_at <= expected.at, f"{call} came to Chaser after {expected}"


def same_wish(one: Ask, other: Ask) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("shop", "phone", "department")) and _managed(
        one
    ) == _managed(other)


def _managed(ask: Ask) -> dict[str, Any]:
    return {name: value for name, value in ask.extra if name in ("manager_phone", "message_on_ring")}


def test_every_accepted_request_rings_as_promised(migrated_url: str, tmp_path: Path) -> None:
    events = histories(dose(20, 50), acts, repeats)
    with playing(migrated_url, history_settings(tmp_path, quotas={"per_phone": "3/hour;5/day"})) as runner:
        hold(runner, dose(20, 600), check_promises, starts(), latencies, events)
