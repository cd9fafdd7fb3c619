"""The bounded dictionary: how many values it stores, and for how long."""

import pytest

from app.edge.bounded_dict import GenerationalDict

MOST = 1000


class Seconds:
    """A clock that stands still until a test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def recent(clock: Seconds) -> GenerationalDict[int]:
    return GenerationalDict(MOST, clock)


def test_a_value_is_found_by_its_key_until_it_is_removed(recent: GenerationalDict[int]) -> None:
    recent.set("a", 1, 60)
    recent.set("a", 2, 60)
    recent.set("b", 3, 60)
    assert [recent.get(key, 0) for key in "abc"] == [2, 3, 0]
    recent.remove("a")
    assert recent.get("a", 0) == 0
    assert recent.clear() == 1
    assert recent.get("b", 0) == 0


def test_of_too_many_keys_those_set_least_recently_are_dropped(recent: GenerationalDict[int]) -> None:
    for number in range(3 * MOST):
        recent.set(f"{number}", number, 3600)
        if number % 20 == 0:
            recent.set("often", number, 3600)
    assert recent.get("often", -1) == 3 * MOST - 20
    assert recent.get(f"{2 * MOST - 1}", -1) == -1
    assert recent.get(f"{3 * MOST - MOST // 3}", -1) == 3 * MOST - MOST // 3
    assert MOST // 2 <= recent.clear() <= MOST


def test_a_removed_key_does_not_come_back_from_the_older_generation(
    recent: GenerationalDict[int], clock: Seconds
) -> None:
    recent.set("a", 1, 60)
    clock.now += 61
    recent.set("b", 1, 60)
    recent.set("a", 2, 60)
    recent.remove("a")
    assert recent.get("a", 0) == 0


def test_expired_values_are_dropped(recent: GenerationalDict[int], clock: Seconds) -> None:
    for number in range(MOST // 3):
        recent.set(f"{number}", number, 1)
    for _ in range(2):
        clock.now += 1.1
        recent.set("another", 0, 1)
    assert recent.clear() == 1


def test_a_value_with_a_long_lifetime_outlives_those_with_a_short_one(
    recent: GenerationalDict[int], clock: Seconds
) -> None:
    recent.set("lasting", 1, 3600)
    for _ in range(30):
        clock.now += 100
        recent.set("short", 1, 1)
    assert recent.get("lasting", 0) == 1
