"""The service is a process that gets killed, Chaser a server that is away; nobody who got a 202 is forgotten."""

import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.running import chaser, phone, process, until, values

AT_ONCE = {"retry_schedule": ["200ms"], "calls_per_second": 1000}


def statuses(folder: Path) -> set[str]:
    database = sqlite3.connect(folder / "callbacks.db")
    found = {status for (status,) in database.execute("SELECT status FROM callbacks")}
    database.close()
    return found


def test_killed_between_the_202_and_the_delivery_the_call_is_made_after_the_restart(tmp_path: Path) -> None:
    number = phone()
    with chaser() as far_side:
        chosen = values(tmp_path, far_side.api_url, retry_schedule=["2s"])
        far_side.fault("refuse", times=None)
        with process(tmp_path, chosen) as here:
            wish = here.accepted(client_phone=number)
            until(lambda: here.status(wish) == "queued" and "not_sent" in here.output())
            here.kill()
        assert far_side.calls() == []
        far_side.well_again()
        with process(tmp_path, chosen) as here:
            here.wait_for(wish, "placed")
        assert [call["client_phone"] for call in far_side.calls()] == [number]


def test_killed_while_the_call_is_under_way_it_is_unknown_and_not_silently_sent_again(tmp_path: Path) -> None:
    with chaser() as far_side:
        chosen = values(tmp_path, far_side.api_url)
        far_side.fault("hang_after", times=1)
        with process(tmp_path, chosen) as here:
            wish = here.accepted()
            until(lambda: len(far_side.calls()) == 1)
            here.kill()
        with process(tmp_path, chosen) as here:
            here.wait_for(wish, "unknown")
        assert len(far_side.calls()) == 1


def test_a_hundred_requests_while_chaser_is_away_are_accepted_and_ring_once_it_is_back(tmp_path: Path) -> None:
    numbers = [phone() for _ in range(100)]
    with chaser() as far_side, process(tmp_path, values(tmp_path, far_side.api_url, **AT_ONCE)) as here:
        far_side.fault("refuse", times=None)
        with ThreadPoolExecutor(10) as visitors:
            wishes = list(visitors.map(lambda number: here.accepted(client_phone=number), numbers))
        assert len(set(wishes)) == 100
        assert far_side.calls() == []
        far_side.well_again()
        until(lambda: len(far_side.calls()) == 100)
        until(lambda: statuses(tmp_path) == {"placed"})
        assert sorted(call["client_phone"] for call in far_side.calls()) == sorted(numbers)


def test_ended_by_sigterm_the_process_leaves_in_order(tmp_path: Path) -> None:
    with chaser() as far_side, process(tmp_path, values(tmp_path, far_side.api_url)) as here:
        here.wait_for(here.accepted(), "placed")
        assert here.terminate() in (0, -signal.SIGTERM), "uvicorn hands the signal on once it is done"
        assert "Application shutdown complete" in here.output()
        assert "Traceback" not in here.output()
