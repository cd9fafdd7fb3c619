"""Rings: one more ring exceeds a limit if any window that it touches would hold too many."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import parse_many

from app.outbox.rings import Limit, Ring, exceeds, exceeds_any, limits_of

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def ring(at: float, until: float | None = None) -> Ring:
    """Return a ring at a minute, or between two minutes where only Chaser knows it."""
    return Ring(NOW + at * MINUTE, NOW + (at if until is None else until) * MINUTE)


@pytest.mark.parametrize(
    ("rings", "expected"),
    [
        ([], False),
        ([ring(-30)], False),
        ([ring(-30), ring(-20)], True),
        ([ring(-60), ring(-20)], False),  # half open: two rings a window apart are not both in it
        ([ring(-59.99), ring(-20)], True),
        ([ring(30), ring(20)], True),
        ([ring(60), ring(20)], False),
        ([ring(-40), ring(30)], False),  # no window holds both
        ([ring(-40), ring(19)], True),
        ([ring(-40), ring(20)], False),
        ([ring(0), ring(0)], True),
        ([ring(-300, -30), ring(-20)], True),
        ([ring(-300, -60), ring(-20)], False),
        ([ring(-300, 300), ring(-20)], True),
        ([ring(40, 300), ring(30)], True),
        ([ring(60, 300), ring(30)], False),
        ([ring(-300, -40), ring(30)], False),
        ([ring(-300, -40), ring(10, 300)], True),  # the window from -40 on
        ([ring(-90), ring(-80), ring(-70), ring(70), ring(80)], False),
    ],
)
def test_a_ring_exceeds_a_limit_of_two_an_hour(rings: list[Ring], expected: bool) -> None:
    assert exceeds(rings, ring(0), 2, HOUR) is expected


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (ring(0, 300), True),
        (ring(0, 21), True),
        (ring(0, 20), False),
        (ring(139, 300), True),
        (ring(140, 300), False),
        (ring(81, 90), True),
        (ring(-300, -30), False),
    ],
)
def test_an_uncertain_ring_exceeds_a_limit_anywhere_between_its_first_and_its_last_moment(
    new: Ring, expected: bool
) -> None:
    assert exceeds([ring(79), ring(80), ring(100)], new, 2, HOUR) is expected


@pytest.mark.parametrize("amount", [1, 2, 3])
def test_full_windows_elsewhere_do_not_matter(amount: int) -> None:
    assert not exceeds([ring(200)] * 9, ring(0), amount, HOUR)


def test_each_of_several_limits_counts() -> None:
    limits = limits_of(parse_many("2/hour;3/day"))
    assert not exceeds_any([ring(-120), ring(-30)], ring(0), limits)
    assert exceeds_any([ring(-40), ring(-30)], ring(0), limits)
    assert exceeds_any([ring(-300), ring(-200), ring(-100)], ring(0), limits)


@pytest.mark.parametrize("text", ["3/hour;5/day", "5/day;3/hour"])
def test_the_limits_of_a_setting_are_ordered_by_their_windows(text: str) -> None:
    hour, day = (str(item) for item in parse_many("3/hour;5/day"))
    assert limits_of(parse_many(text)) == (Limit(3, HOUR, hour), Limit(5, 24 * HOUR, day))


def test_only_a_certain_ring_is_promised_and_a_lead_rings_nobody() -> None:
    assert Ring(NOW, NOW).promise == NOW
    assert Ring(NOW, NOW + HOUR, certain=False).promise is None
    assert Ring(NOW, NOW, certain=False, rings=False).promise is None
    assert Ring(NOW, NOW, rings=False).promise is None


_minutes = st.integers(0, 40)
_rings = st.builds(lambda at, length: ring(at, at + length), _minutes, st.integers(0, 9) | st.just(0))


@given(rings=st.lists(_rings, max_size=7), new=_rings, amount=st.integers(1, 4), window=st.integers(1, 15))
def test_it_agrees_with_a_look_at_every_window(rings: list[Ring], new: Ring, amount: int, window: int) -> None:
    length = window * MINUTE

    def holds(start: datetime, one: Ring) -> bool:
        return one.at < start + length and one.until >= start

    # Rings are at whole minutes, so the windows from half minutes stand for all those between two minutes.
    starts = [NOW + half * MINUTE / 2 for half in range(-2 * 20, 2 * 60)]
    expected = any(sum(holds(start, one) for one in [*rings, new]) > amount for start in starts if holds(start, new))
    assert exceeds(rings, new, amount, length) == expected
