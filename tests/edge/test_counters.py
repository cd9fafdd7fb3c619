"""The flood limit's counters: windows, what is forgotten, and clocks."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from app.edge.counters import MOST_KEYS, Counters


def test_a_key_is_counted_by_itself() -> None:
    counters = Counters()
    assert [counters.incr("a", 60) for _ in range(3)] == [1, 2, 3]
    assert counters.incr("b", 60, amount=2) == 2
    assert [counters.get(key) for key in "abc"] == [3, 2, 0]
    counters.clear("a")
    assert counters.incr("a", 60) == 1
    assert counters.reset() == 2
    assert counters.get("b") == 0


def test_a_window_begins_with_its_first_request_and_ends() -> None:
    counters = Counters()
    first = time.time()
    counters.incr("a", 1)
    ends = counters.get_expiry("a")
    assert first + 0.9 < ends <= time.time() + 1
    counters.incr("a", 1)
    assert counters.get_expiry("a") == pytest.approx(ends, abs=0.01)
    time.sleep(1.05)
    assert counters.get("a") == 0
    assert counters.get_expiry("a") <= time.time()
    assert counters.incr("a", 1) == 1


def test_of_too_many_keys_those_not_counted_for_the_longest_time_are_forgotten() -> None:
    counters = Counters()
    for number in range(MOST_KEYS):
        counters.incr(f"{number}", 3600)
    counters.incr("0", 3600)
    for number in range(1000):
        counters.incr(f"more {number}", 3600)
    assert counters.get("0") == 2
    assert counters.get("1000") == 0
    assert counters.get("1001") == 1
    assert counters.reset() == MOST_KEYS


def test_what_is_over_is_forgotten_by_and_by() -> None:
    counters = Counters()
    for number in range(1000):
        counters.incr(f"{number}", 1)
    time.sleep(1.05)
    for _ in range(20):
        counters.incr("another", 60)
    assert counters.reset() == 1


@pytest.mark.parametrize("by", [timedelta(days=-1), timedelta(days=1)], ids=["back", "forth"])
def test_a_clock_that_is_set_changes_nothing(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    counters = Counters()
    limiter = FixedWindowRateLimiter(counters)
    limit = parse("2/hour")
    assert limiter.hit(limit, "a")
    assert limiter.hit(limit, "a")
    set_to = datetime.now(UTC) + by
    monkeypatch.setattr(time, "time", set_to.timestamp)
    assert not limiter.hit(limit, "a")
    assert limiter.get_window_stats(limit, "a").reset_time == pytest.approx(set_to.timestamp() + 3600, abs=60)


def test_it_can_be_named_as_a_storage() -> None:
    storage = storage_from_string("bounded://")
    assert isinstance(storage, Counters)
    assert storage.check()
