"""The pace of the drain, on a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.pace import Pace


def test_after_a_rest_a_second_worth_of_calls_may_begin_at_once() -> None:
    pace = Pace(20)
    assert pace.allowed(100) == 20
    pace.spend(20)
    assert pace.allowed(100) == 0
    assert pace.wait == pytest.approx(0.05)
    assert pace.allowed(100.26) == 5
    assert pace.allowed(1000) == 20


def test_fewer_than_one_a_second_is_possible() -> None:
    pace = Pace(0.5)
    assert pace.allowed(0) == 1
    pace.spend(1)
    assert pace.allowed(1) == 0
    assert pace.wait == pytest.approx(1)
    assert pace.allowed(2) == 1


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 5), min_size=1, max_size=50))
def test_no_stretch_of_time_sees_more_than_the_rate_and_one_burst(rate: float, steps: list[float]) -> None:
    pace, now, begun = Pace(rate), 0.0, 0
    for step in steps:
        now += step
        calls = pace.allowed(now)
        pace.spend(calls)
        begun += calls
    assert begun <= max(1.0, rate) + rate * now + 1e-6
