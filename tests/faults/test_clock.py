"""The clock is set back or forward while callbacks are queued: none is lost, and no limit exceeds its window."""

from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from app.simulator.options import DEMO_SITE_ID
from tests.faults.doses import note
from tests.faults.load import new_request, send_once
from tests.faults.world import WIDE, World, world
from tests.running import AT_ONCE, ORIGIN, Clock, phone, service, settings, until

HOUR = timedelta(hours=1)
WAITING = 20


@pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "forward"])
def test_a_queue_survives_a_clock_jump(tmp_path: Path, database_url: str, jump: timedelta) -> None:
    clock = Clock()
    with world(tmp_path, database_url) as here:
        here.far_side.fault("refuse", times=None)
        chosen = settings(tmp_path, here.far_side.api_url, database_url=database_url)
        with service(chosen, clock=clock, poll_interval=AT_ONCE) as running:
            requests = [new_request() for _ in range(WAITING)]
            for request in requests[::2]:
                send_once(request, running.url)
            until(lambda: all("not_sent" in row.outcomes for row in here.stored()))
            clock.now += jump
            for request in requests[1::2]:
                send_once(request, running.url)
            until(lambda: all("not_sent" in row.outcomes for row in here.stored()))
            here.far_side.clear_faults()
            clock.advance(seconds=20)  # the second retry delay is 15 s plus up to 20 % jitter
            here.wait_until_finished(within=20)
            verdict = here.verdict([request.record for request in requests])
    database = "PostgreSQL" if here.on_postgresql else "SQLite"
    note(f"the clock {jump / HOUR:+.0f} h while callbacks are queued, {database}", verdict)
    assert verdict.sound, verdict.explain()
    assert verdict.accepted == verdict.executed == verdict.statuses["placed"] == WAITING


def has_future_callbacks(here: World, clock: Clock) -> bool:
    """Return whether any callback was created more than a minute after now."""
    latest = clock() + timedelta(minutes=1)
    limit = f"'{latest.isoformat()}'" if here.on_postgresql else str(int(latest.timestamp() * 1_000_000))
    ((count,),) = here.sql(f"SELECT count(*) FROM callbacks WHERE created_at > {limit}")
    return bool(count)


@pytest.mark.parametrize("jumps", [(-60,), (-20,), (20,), (60,), (-60, 60), (60, -60)], ids=str)
def test_after_clock_jumps_no_limit_lasts_longer_than_its_window(
    tmp_path: Path, database_url: str, jumps: tuple[int, ...]
) -> None:
    clock = Clock()
    number = phone()
    # Chaser can't be reached, so every callback stays queued. At the same site the next request would be a duplicate.
    sites = {f"shop-{n}": {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN]} for n in range(50)}
    unused = iter(sites)
    service_settings = settings(tmp_path, database_url=database_url, quotas=WIDE | {"per_phone": "2/hour"}, sites=sites)
    with (
        world(tmp_path, database_url),
        service(service_settings, clock=clock, poll_interval=AT_ONCE) as running,
    ):

        def send() -> httpx2.Response:
            request = new_request(number, next(unused))
            return running.http.post("/v1/callbacks", json=request.body, headers=request.headers)

        def exhaust_quota() -> httpx2.Response:
            """Send requests until one is refused, and return the refusal."""
            for _ in range(3):
                clock.advance(minutes=3)
                answer = send()
                if answer.status_code == 429:
                    return answer
                assert answer.status_code == 202
                assert not answer.json()["duplicate"]
            pytest.fail("there is no cap")

        exhaust_quota()
        for minutes in jumps:
            clock.advance(minutes=minutes)
