from datetime import UTC, datetime, timedelta

from app.simulator.simulated_clock import Clock

NIGHT = datetime(2026, 3, 3, 0, 0, tzinfo=UTC)


class Real:
    def __init__(self):
        self.seconds = 1_790_000_000.0

    def __call__(self):
        return self.seconds


def test_a_new_clock_shows_the_real_time():
    real = Real()
    clock = Clock(real)
    assert clock.now().timestamp() == real.seconds
    assert clock.is_real
    assert not clock.frozen


def test_a_clock_that_was_set_runs_on_from_there():
    real = Real()
    clock = Clock(real)
    clock.set(NIGHT)
    real.seconds += 90
    assert clock.now() == NIGHT + timedelta(seconds=90)
    assert not clock.is_real


def test_a_frozen_clock_stands_still_and_can_be_advanced():
    real = Real()
    clock = Clock(real)
    clock.set(NIGHT, frozen=True)
    real.seconds += 90
    assert clock.now() == NIGHT
    clock.advance(60)
    real.seconds += 90
    assert clock.now() == NIGHT + timedelta(seconds=60)
    assert clock.frozen


def test_a_running_clock_runs_on_after_being_advanced():
    real = Real()
    clock = Clock(real)
    clock.advance(3600)
    real.seconds += 1
    assert clock.now().timestamp() == real.seconds + 3600


def test_a_clock_can_go_back_to_the_real_time():
    real = Real()
    clock = Clock(real)
    clock.set(NIGHT, frozen=True)
    clock.follow_real_time()
    assert clock.is_real
    assert clock.now().timestamp() == real.seconds
