"""The clock is set back or forward while a queue waits: nothing lost, nobody limited longer than a window."""

from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from app.simulator.options import DEMO_SITE_ID
from tests.faults.doses import note
from tests.faults.load import ask_once, new_wish
from tests.faults.world import WIDE, World, world
from tests.running import ORIGIN, Clock, phone, service, settings, until

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
    assert verdict.accepted == verdict.executed == verdict.statuses["placed"] == WAITING


def lies_ahead(here: World, clock: Clock) -> bool:
    """Tell whether any callback was asked for more than a minute after the present."""
    latest = clock() + timedelta(minutes=1)
    limit = f"'{latest.isoformat()}'" if here.on_postgresql else str(int(latest.timestamp() * 1_000_000))
    ((count,),) = here.sql(f"SELECT count(*) FROM callbacks WHERE created_at > {limit}")
    return bool(count)


@pytest.mark.parametrize("jumps", [(-60,), (-20,), (20,), (60,), (-60, 60), (60, -60)], ids=str)
def test_nobody_is_limited_longer_than_a_window(tmp_path: Path, database_url: str, jumps: tuple[int, ...]) -> None:
    clock = Clock()
    number = phone()
    # Nobody can be called, so at one site whoever asks again would be answered with what waits there.
    sites = {f"shop-{n}": {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN]} for n in range(50)}
    others = iter(sites)
    chosen = settings(tmp_path, database_url=database_url, quotas=WIDE | {"per_phone": "2/hour"}, sites=sites)
    with world(tmp_path, database_url) as here, service(chosen, clock=clock) as running:

        def ask() -> httpx2.Response:
            asking = new_wish(number, next(others))
            return running.http.post("/v1/callbacks", json=asking.body, headers=asking.headers)

        def use_the_cap_up() -> httpx2.Response:
            """Ask until it is refused, and give the refusal."""
            for _ in range(3):
                clock.advance(minutes=3)
                told = ask()
                if told.status_code == 429:
                    return told
                assert told.status_code == 202
                assert not told.json()["duplicate"]
            pytest.fail("there is no cap")

        use_the_cap_up()
        for minutes in jumps:
            clock.advance(minutes=minutes)
            until(lambda: not lies_ahead(here, clock))  # the worker looks every second, and here minutes pass in none
            # Also what was used up before the jump comes by again, when the clock shows those times a second time.
            for _ in range(4):
                wait = int(use_the_cap_up().headers["retry-after"])
                assert 0 < wait <= HOUR.total_seconds()
                clock.advance(seconds=wait)
                told = ask()
                assert told.status_code == 202, "no longer than it was told"


@pytest.mark.parametrize("minutes", [-60, -20, 20, 60])
def test_what_was_asked_for_before_the_jump_is_the_same_wish_for_two_minutes_only(
    tmp_path: Path, database_url: str, minutes: int
) -> None:
    clock = Clock()
    number = phone()
    with world(tmp_path, database_url) as here:
        chosen = settings(tmp_path, here.far_side.api_url, database_url=database_url, quotas=WIDE)
        with service(chosen, clock=clock) as running:

            def ask() -> str:
                wish = running.accepted(client_phone=number)
                running.wait_for(wish, "placed")
                return wish

            first = ask()
            clock.advance(minutes=minutes)
            at_once = ask()
            assert (at_once == first) == (minutes < 0), "set forward, it was so long ago"
            clock.advance(minutes=3)
            assert ask() not in (first, at_once)
