from datetime import UTC, datetime, timedelta

import pytest

from app.simulator.call_schedule import Plan
from app.simulator.ledger import Ledger
from app.simulator.options import DEMO_ACCOUNT

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Bench:
    """A ledger with a monotonic and a simulated clock, both moved by the test."""

    def __init__(self):
        self.real = 1000.0
        self.now = START
        self.ledger = Ledger(ring_seconds=4.0, monotonic=lambda: self.real)

    def call(self, in_seconds=0.0, ring=True, **plan):
        ring_at = self.now + timedelta(seconds=in_seconds) if ring else None
        site = DEMO_ACCOUNT.sites[0]
        return self.ledger.add_call(
            DEMO_ACCOUNT,
            site,
            Plan(ring_at, "", **plan),
            self.now,
            client_phone="79161234567",
            manager_phone="74951234567",
            params={},
        )

    def pass_time(self, seconds):
        """Advance both clocks."""
        self.real += seconds
        self.now += timedelta(seconds=seconds)
        self.ledger.catch_up(self.now)

    def jump(self, seconds):
        """Move the simulated clock only."""
        self.ledger.catch_up(self.now)
        self.now += timedelta(seconds=seconds)
        self.ledger.catch_up(self.now)


@pytest.fixture
def bench():
    return Bench()


def test_a_call_rings_for_its_seconds_and_is_answered(bench):
    call = bench.call()
    assert (call.state, call.rang_at) == ("ringing", START)
    bench.pass_time(3.9)
    assert call.state == "ringing"
    bench.pass_time(0.2)
    assert (call.state, call.result, call.ended_at) == ("done", "success", START + timedelta(seconds=4))


def test_a_queued_call_rings_when_the_clock_reaches_its_time(bench):
    call = bench.call(60)
    assert call.state == "queued"
    bench.pass_time(59)
    assert call.state == "queued"
    bench.pass_time(1)
    assert (call.state, call.rang_at) == ("ringing", START + timedelta(seconds=60))


def test_a_ring_between_two_reads_is_over_and_began_when_it_was_due(bench):
    call = bench.call(60)
    bench.pass_time(600)
    assert (call.state, call.rang_at) == ("done", START + timedelta(seconds=60))


def test_after_a_clock_jump_a_queued_call_rings_at_the_new_time(bench):
    call = bench.call(3600)
    bench.jump(7200)
    assert (call.state, call.rang_at) == ("ringing", START + timedelta(seconds=7200))
    bench.pass_time(4)
    assert call.state == "done"


def test_a_ring_ends_even_if_the_clock_is_stopped(bench):
    call = bench.call()
    bench.real += 4
    bench.ledger.catch_up(bench.now)
    assert call.state == "done"


def test_setting_the_clock_back_does_not_undo_a_ring(bench):
    call = bench.call(60)
    bench.pass_time(60)
    bench.jump(-3600)
    assert call.state == "ringing"


def test_a_lead_never_rings(bench):
    call = bench.call(ring=False)
    bench.pass_time(10**6)
    assert (call.state, call.result) == ("lead", None)


def test_scripted_results_apply_to_the_next_calls_in_order(bench):
    bench.ledger.script_results("failed", 2)
    calls = [bench.call() for _ in range(3)]
    bench.pass_time(5)
    assert [call.result for call in calls] == ["failed", "failed", "success"]


def test_the_queue_is_counted_by_site_and_day(bench):
    monday, tuesday = START.date(), START.date() + timedelta(days=1)
    bench.call(60, queue_day=monday)
    bench.call(60, queue_day=monday)
    bench.call(60, queue_day=tuesday)
    bench.call(60)
    count = bench.ledger.queued_for("12345")
    assert (count(monday), count(tuesday), bench.ledger.queued_for("777")(monday)) == (2, 1, 0)


def test_calls_are_listed_after_a_number_and_numbers_do_not_restart_after_a_reset(bench):
    for _ in range(3):
        bench.call()
    assert [call.seq for call in bench.ledger.calls(1)] == [2, 3]
    assert bench.ledger.calls(3) == []
    bench.ledger.clear()
    assert bench.ledger.calls() == []
    bench.call()
    bench.call()
    assert [call.seq for call in bench.ledger.calls(2)] == [4, 5]
    assert [call.seq for call in bench.ledger.calls(4)] == [5]


def test_the_latest_change_is_listed_first(bench):
    first = bench.call(60)
    second = bench.call(ring=False)
    version = bench.ledger.version
    assert bench.ledger.changed_since(0, 10) == [second, first]
    bench.pass_time(60)
    assert bench.ledger.changed_since(version, 10) == [first]
    assert bench.ledger.changed_since(0, 1) == [first]


def test_the_time_to_the_next_change_is_known(bench):
    assert bench.ledger.seconds_to_next_change(bench.now, frozen=False) is None
    bench.call(60)
    assert bench.ledger.seconds_to_next_change(bench.now, frozen=False) == 60
    assert bench.ledger.seconds_to_next_change(bench.now, frozen=True) is None
    bench.call()
    assert bench.ledger.seconds_to_next_change(bench.now, frozen=False) == 4


def test_the_states_are_counted(bench):
    bench.ledger.script_results("failed", 1)
    bench.call()
    bench.call()
    bench.pass_time(5)
    bench.call()
    bench.call(60)
    bench.call(ring=False)
    bench.ledger.add_request(START, "POST", "/v1/call", "", "")
    assert bench.ledger.counts() == {
        "queued": 1, "ringing": 1, "lead": 1, "success": 1, "failed": 1, "calls": 5, "requests": 1,
    }  # fmt: skip
