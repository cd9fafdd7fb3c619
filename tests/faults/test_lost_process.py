"""The process is killed, or Chaser is unreachable; no request that was answered 202 is lost."""

import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.running import chaser, phone, process, until, values

SHORT_DELAYS = {"retry_schedule": ["200ms"], "calls_per_second": 1000}


def statuses(folder: Path) -> set[str]:
    database = sqlite3.connect(folder / "callbacks.db")
    statuses = {status for (status,) in database.execute("SELECT status FROM callbacks")}
    database.close()
    return statuses


def test_after_a_kill_between_the_202_and_the_call_the_call_is_made_after_the_restart(tmp_path: Path) -> None:
    number = phone()
    with chaser() as far_side:
        settings = values(tmp_path, far_side.api_url, retry_schedule=["2s"])
        far_side.fault("refuse", times=None)
        with process(tmp_path, settings) as here:
            callback_id = here.accepted(client_phone=number)
            until(lambda: here.status(callback_id) == "queued" and "not_sent" in here.output())
            here.kill()
        assert far_side.calls() == []
        far_side.clear_faults()
        with process(tmp_path, settings) as here:
            here.wait_for(callback_id, "placed")
        assert [call["client_phone"] for call in far_side.calls()] == [number]


def test_after_a_kill_during_the_call_the_callback_is_unknown_and_not_sent_again(tmp_path: Path) -> None:
    with chaser() as far_side:
        settings = values(tmp_path, far_side.api_url)
        far_side.fault("hang_after", times=1)
        with process(tmp_path, settings) as here:
            callback_id = here.accepted()
            until(lambda: len(far_side.calls()) == 1)
            here.kill()
        with process(tmp_path, settings) as here:
            here.wait_for(callback_id, "unknown")
        assert len(far_side.calls()) == 1


def test_a_hundred_requests_while_chaser_is_unreachable_are_accepted_and_ring_later(tmp_path: Path) -> None:
    numbers = [phone() for _ in range(100)]
    with chaser() as far_side, process(tmp_path, values(tmp_path, far_side.api_url, **SHORT_DELAYS)) as here:
        far_side.fault("refuse", times=None)
        with ThreadPoolExecutor(10) as visitors:
            callback_ids = list(visitors.map(lambda number: here.accepted(client_phone=number), numbers))
        assert len(set(callback_ids)) == 100
        assert far_side.calls() == []
        far_side.clear_faults()
        until(lambda: len(far_side.calls()) == 100)
        until(lambda: statuses(tmp_path) == {"placed"})
        assert sorted(call["client_phone"] for call in far_side.calls()) == sorted(numbers)


def test_sigterm_ends_the_process_cleanly(tmp_path: Path) -> None:
    with chaser() as far_side, process(tmp_path, values(tmp_path, far_side.api_url)) as here:
        here.wait_for(here.accepted(), "placed")
        assert here.terminate() in (0, -signal.SIGTERM), "uvicorn raises the signal again after its shutdown"
        assert "Application shutdown complete" in here.output()
        assert "Traceback" not in here.output()
