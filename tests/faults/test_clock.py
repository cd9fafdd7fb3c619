"""The clock is set back or forward while a queue waits: nothing lost, nobody limited longer than a window."""

from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from tests.faults.doses import note
from tests.faults.load import ask_once, new_wish
from tests.faults.world import WIDE, world
from tests.running import Clock, phone, service, settings, until

HOUR = timedelta(hours=1)
WAITING = 20


@pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "forward"])
def test_a_queue_comes_through_a_jump_of_the_clock(tmp_path: Path, database_url: str, jump: timedelta) -> None:
    clock = Clock()
    with world(tmp_path, database_url) as here:
        here.far_side.fault("refuse", times=None)
        with service(settings(tmp_path, here.far_side.api_url, database_url=database_url), clock=clock) as running:
            askings = [new_wish() for _ in range(WAITING)]
            for asking in askings[::2]:
                ask_once(asking, running.url)
            until(lambda: all("not_sent" in row.outcomes for row in here.stored()))
            clock.now += jump
            for asking in askings[1::2]:
                ask_once(asking, running.url)
            until(lambda: all("not_sent" in row.outcomes for row in here.stored()))
            here.far_side.well_again()
            clock.advance(seconds=20)  # the second wait is 15 s, and up to a fifth of it
            here.settle(within=20)
            verdict = here.verdict([asking.wish for asking in askings])
    database = "PostgreSQL" if here.on_postgresql else "SQLite"
    note(f"the clock {jump / HOUR:+.0f} h while a queue waits, {database}", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.executed == verdict.statuses["delivered"] == WAITING


@pytest.mark.parametrize("minutes", [-60, -20, 20, 60])
def test_nobody_is_limited_longer_than_a_window(tmp_path: Path, database_url: str, minutes: int) -> None:
    clock = Clock()
    number = phone()
    chosen = settings(tmp_path, database_url=database_url, quotas=WIDE | {"per_phone": "2/hour"})
    with service(chosen, clock=clock) as running:

        def answer() -> httpx2.Response:
            clock.advance(minutes=3)  # beyond the window in which a second request is the same callback
            asking = new_wish(number)
            return running.http.post("/v1/callbacks", json=asking.body, headers=asking.headers)

        assert [answer().status_code for _ in range(3)] == [202, 202, 429]
        clock.advance(minutes=minutes)
        told = answer()
        if told.status_code == 429:
            wait = int(told.headers["retry-after"])
            assert 0 < wait <= HOUR.total_seconds()
            clock.advance(seconds=wait)
            told = answer()
        assert told.status_code == 202
