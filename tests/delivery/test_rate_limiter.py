"""The rate limit of calls to Chaser, on a clock of the test's own."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.rate_limiter import SlidingWindowLimiter


def test_after_an_idle_second_the_whole_rate_may_start_at_once_and_no_more_in_that_second() -> None:
    limiter = SlidingWindowLimiter(20)
    assert limiter.available(100) == 20
    limiter.consume(15, 100)
    assert limiter.available(100.25) == 5
    limiter.consume(5, 100.25)
    assert limiter.available(100.5) == 0
    assert limiter.retry_after(100.5) == pytest.approx(0.5)
    assert limiter.available(101) == 15
    assert limiter.retry_after(101) == 0
    limiter.consume(15, 101)
    assert limiter.available(101.25) == 5
    assert limiter.available(1000) == 20


def test_a_rate_of_one_call_a_second_is_possible() -> None:
    limiter = SlidingWindowLimiter(1)
    assert limiter.available(0) == 1
    limiter.consume(1, 0.25)
    assert limiter.available(1) == 0
    assert limiter.retry_after(1) == pytest.approx(0.25)
    assert limiter.available(1.25) == 1


def test_calls_started_beyond_the_rate_delay_the_next_ones() -> None:
    limiter = SlidingWindowLimiter(2)
    limiter.consume(5, 10)  # such as claims whose commit reply was lost
    limiter.consume(1, 10.5)
    assert limiter.available(10.75) == 0
    assert limiter.retry_after(10.75) == pytest.approx(0.25)
    assert limiter.available(11) == 1


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20)), min_size=1, max_size=60),
)
def test_no_second_has_more_calls_than_the_rate(rate: int, steps: list[tuple[int, int]]) -> None:
    limiter, now, starts = SlidingWindowLimiter(rate), 0, list[int]()
    for step, requested in steps:
        now += step
        calls = min(requested, limiter.available(now / 100))
        limiter.consume(calls, now / 100)
        starts += [now] * calls
        if not limiter.available(now / 100):
            assert deepcopy(limiter).available(now / 100 + limiter.retry_after(now / 100) + 1e-9) > 0, (
                "retry_after is long enough"
            )
    for first in starts:
        assert sum(first <= one < first + 100 for one in starts) <= rate
