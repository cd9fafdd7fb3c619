"""The pace of the drain, on a clock of the test's own."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.rate_limiter import Pace


def test_after_a_rest_a_second_worth_of_calls_may_begin_at_once_and_no_more_in_that_second() -> None:
    pace = Pace(20)
    assert pace.allowed(100) == 20
    pace.spend(15, 100)
    assert pace.allowed(100.25) == 5
    pace.spend(5, 100.25)
    assert pace.allowed(100.5) == 0
    assert pace.wait == pytest.approx(0.5)
    assert pace.allowed(101) == 15
    assert pace.wait == 0
    pace.spend(15, 101)
    assert pace.allowed(101.25) == 5
    assert pace.allowed(1000) == 20


def test_one_a_second_is_possible() -> None:
    pace = Pace(1)
    assert pace.allowed(0) == 1
    pace.spend(1, 0.25)
    assert pace.allowed(1) == 0
    assert pace.wait == pytest.approx(0.25)
    assert pace.allowed(1.25) == 1


def test_what_began_beyond_the_rate_is_waited_for() -> None:
    pace = Pace(2)
    pace.spend(5, 10)  # such as what an earlier claiming had taken
    pace.spend(1, 10.5)
    assert pace.allowed(10.75) == 0
    assert pace.wait == pytest.approx(0.25)
    assert pace.allowed(11) == 1


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20)), min_size=1, max_size=60),
)
def test_no_second_sees_more_than_the_rate(rate: int, steps: list[tuple[int, int]]) -> None:
    pace, now, begun = Pace(rate), 0, list[int]()
    for step, wanted in steps:
        now += step
        calls = min(wanted, pace.allowed(now / 100))
        pace.spend(calls, now / 100)
        begun += [now] * calls
        if not pace.allowed(now / 100):
            assert deepcopy(pace).allowed(now / 100 + pace.wait + 1e-9) > 0, "it is worth waiting so long"
    for first in begun:
        assert sum(first <= one < first + 100 for one in begun) <= rate
