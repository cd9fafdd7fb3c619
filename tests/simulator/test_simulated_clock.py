from datetime import UTC, datetime, timedelta

from app.simulator.simulated_clock import Clock

NIGHT = datetime(2026, 3, 3, 0, 0, tzinfo=UTC)


class RealClock:
    def __init__(self):
        self.seconds = 1_790_000_000.0

    def __call__(self):
        return self.seconds


def test_a_new_clock_shows_the_real_time():
    real = RealClock()
    clock = Clock(real)
    assert clock.now().timestamp() == real.seconds
    assert clock.is_real
    assert not clock.frozen


def test_a_clock_that_was_set_keeps_running():
    real = RealClock()
    clock = Clock(real)
    clock.set(NIGHT)
    real.seconds += 90
    assert clock.now() == NIGHT + timedelta(seconds=90)
    assert not clock.is_real


def test_a_frozen_clock_is_stopped_and_can_be_advanced():
    real = RealClock()
    clock = Clock(real)
    clock.set(NIGHT, frozen=True)
    real.seconds += 90
    assert clock.now() == NIGHT
    clock.advance(60)
    real.seconds += 90
    assert clock.now() == NIGHT + timedelta(seconds=60)
    assert clock.frozen


def test_a_running_clock_keeps_running_after_being_advanced():
    real = RealClock()
    clock = Clock(real)
    clock.advance(3600)
    real.seconds += 1
    assert clock.now().timestamp() == real.seconds + 3600


def test_a_clock_can_be_reset_to_the_real_time():
    real = RealClock()
    clock = Clock(real)
    clock.set(NIGHT, frozen=True)
    clock.follow_real_time()
    assert clock.is_real
    assert clock.now().timestamp() == real.seconds
