"""The rate limit's storage: windows, the bound on their number, and changes of the system clock."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from app.edge.bounded_storage import MOST_KEYS, BoundedStorage


def test_each_key_has_its_own_count() -> None:
    counters = BoundedStorage()
    assert [counters.incr("a", 60) for _ in range(3)] == [1, 2, 3]
    assert counters.incr("b", 60, amount=2) == 2
    assert [counters.get(key) for key in "abc"] == [3, 2, 0]
    counters.clear("a")
    assert counters.incr("a", 60) == 1
    assert counters.reset() == 2
    assert counters.get("b") == 0


def test_a_window_starts_with_its_first_request_and_ends() -> None:
    counters = BoundedStorage()
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


def test_no_more_than_the_maximum_of_keys_are_stored() -> None:
    counters = BoundedStorage()
    for number in range(3 * MOST_KEYS):
        counters.incr(f"{number}", 3600)
        if number % 1000 == 0:
            counters.incr("often", 3600)
    assert counters.get("often") == 3 * MOST_KEYS // 1000
    assert counters.get(f"{2 * MOST_KEYS - 1}") == 0
    assert counters.reset() <= MOST_KEYS


@pytest.mark.parametrize("by", [timedelta(days=-1), timedelta(days=1)], ids=["back", "forth"])
def test_changing_the_system_clock_changes_no_window(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    counters = BoundedStorage()
    limiter = FixedWindowRateLimiter(counters)
    limit = parse("2/hour")
    assert limiter.hit(limit, "a")
    assert limiter.hit(limit, "a")
    set_to = datetime.now(UTC) + by
    monkeypatch.setattr(time, "time", set_to.timestamp)
    assert not limiter.hit(limit, "a")
    assert limiter.get_window_stats(limit, "a").reset_time == pytest.approx(set_to.timestamp() + 3600, abs=60)


def test_the_storage_is_found_by_its_uri() -> None:
    storage = storage_from_string("bounded://")
    assert isinstance(storage, BoundedStorage)
    assert storage.check()
