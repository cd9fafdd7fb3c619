"""The clock is set back or forward: no queued callback is lost, and a limit counts what lies in its window."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from app.outbox.schema import EPOCH
from tests.faults.doses import note
from tests.faults.load import new_request, send_once
from tests.faults.world import WIDE, World, world
from tests.running import AT_ONCE, Clock, phone, service, settings, until

HOUR = timedelta(hours=1)
WAITING = 20
CAP = 2


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


@pytest.mark.parametrize("jumps", [(-60,), (-20,), (20,), (60,), (-60, 60), (60, -60)], ids=str)
def test_a_ring_counts_in_the_windows_around_it_and_in_no_others_however_the_clock_jumps(
    tmp_path: Path, database_url: str, jumps: tuple[int, ...]
) -> None:
    clock, number = Clock(), phone()
    with world(tmp_path, database_url) as here:
        quotas = WIDE | {"per_phone": f"{CAP}/hour"}
        chosen = settings(tmp_path, here.far_side.api_url, database_url=database_url, quotas=quotas)
        with service(chosen, clock=clock, poll_interval=AT_ONCE) as running:

            def exhaust_cap() -> None:
                """Request calls until one is refused."""
                for _ in range(CAP + 1):
                    clock.advance(minutes=3)
                    answer = running.ask(client_phone=number)
                    if answer.status_code == 429:
                        assert (answer.json()["code"], answer.headers["retry-after"]) == ("quota_phone", "3600")
                        return
                    running.wait_for(answer.json()["id"], "placed")
                pytest.fail("there is no cap")

            exhaust_cap()
            for minutes in jumps:
                clock.advance(minutes=minutes)
                exhaust_cap()
            clock.now = max(clock.now, rings(here)[-1] + HOUR)
            running.wait_for(running.accepted(client_phone=number), "placed")
        for first, one_too_many in zip(rings(here), rings(here)[CAP:], strict=False):
            assert one_too_many - first >= HOUR


def rings(here: World) -> list[datetime]:
    """Return when the calls rang, by the clock of the service."""
    moments = [at for (at,) in here.sql("SELECT rings_at FROM attempts WHERE outcome = 'placed' ORDER BY rings_at")]
    return moments if here.on_postgresql else [EPOCH + timedelta(microseconds=at) for at in moments]


@pytest.mark.parametrize("minutes", [-60, -20, 20, 60])
def test_a_call_before_a_jump_covers_no_request_after_it(tmp_path: Path, database_url: str, minutes: int) -> None:
    clock, number = Clock(), phone()
    with world(tmp_path, database_url) as here:
        chosen = settings(tmp_path, here.far_side.api_url, database_url=database_url, quotas=WIDE)
        with service(chosen, clock=clock, poll_interval=AT_ONCE) as running:
            running.wait_for(running.accepted(client_phone=number), "placed")
            clock.advance(minutes=minutes)
            running.wait_for(running.accepted(client_phone=number), "placed")
            assert running.status(running.accepted(client_phone=number)) == "duplicate"
        assert len(rings(here)) == 2
