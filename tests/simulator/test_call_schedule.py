from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from app.simulator.call_schedule import is_open, next_opening, plan
from app.simulator.options import WorkingHours
from app.simulator.request_rules import CallParameters

MOSCOW = ZoneInfo("Europe/Moscow")
HOURS = WorkingHours()  # 9 to 18, Monday to Friday, Moscow


def moscow(day, hour, minute=0):
    """Return a time in March 2026, when the 2nd is a Monday."""
    return datetime(2026, 3, day, hour, minute, tzinfo=MOSCOW)


def call(**fields):
    return CallParameters("79161234567", **fields)


def always(**fields):
    return call(nwt_action="always_call", **fields)


def ring_at(parameters, now, queued=0, hours=HOURS):
    return plan(parameters, hours, now, lambda day: queued).ring_at


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (moscow(2, 9), True),
        (moscow(2, 17, 59), True),
        (moscow(2, 8, 59), False),
        (moscow(2, 18), False),
        (moscow(7, 12), False),
        (moscow(8, 12), False),
        (datetime(2026, 3, 2, 6, 0, tzinfo=UTC), True),
    ],
)
def test_working_hours_are_in_the_sites_time_zone_on_weekdays(moment, expected):
    assert is_open(HOURS, moment) is expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (moscow(3, 3), moscow(3, 9)),
        (moscow(3, 19), moscow(4, 9)),
        (moscow(6, 19), moscow(9, 9)),
        (moscow(7, 3), moscow(9, 9)),
        (moscow(8, 23), moscow(9, 9)),
    ],
)
def test_after_a_night_or_a_weekend_the_next_working_day_opens(moment, expected):
    assert next_opening(HOURS, moment) == expected


def test_a_call_in_working_hours_rings_at_once():
    for parameters in (call(), always(call_stack_start_hour=11), call(nwt_action="create_leed")):
        assert ring_at(parameters, moscow(2, 12)) == moscow(2, 12)


def test_a_planned_call_rings_at_its_time():
    assert ring_at(call(planned_time=moscow(2, 12, 7)), moscow(2, 12)) == moscow(2, 12, 7)


def test_a_planned_time_in_the_past_means_at_once():
    assert ring_at(call(planned_time=moscow(2, 11)), moscow(2, 12)) == moscow(2, 12)


def test_a_call_planned_for_the_night_is_queued_after_that_night():
    parameters = always(planned_time=moscow(3, 22), call_stack_start_hour=10)
    assert ring_at(parameters, moscow(2, 12)) == moscow(4, 10)


def test_a_call_planned_for_working_hours_rings_then_even_if_requested_at_night():
    assert ring_at(always(planned_time=moscow(3, 12)), moscow(3, 3)) == moscow(3, 12)


def test_create_leed_at_night_rings_no_phone():
    assert ring_at(call(nwt_action="create_leed"), moscow(3, 3)) is None


@pytest.mark.parametrize("position", [0, 1, 2, 20])
def test_a_night_call_is_queued_for_the_start_hour_plus_its_position_times_the_interval(position):
    parameters = always(call_stack_start_hour=10, call_stack_interval=7)
    total = position * 7
    assert ring_at(parameters, moscow(3, 3), position) == moscow(3, 10 + total // 60, total % 60)


def test_the_position_is_counted_for_the_day_on_which_the_call_will_ring():
    days = []
    plan(always(), HOURS, moscow(6, 22), lambda day: days.append(day) or 0)
    assert [str(day) for day in days] == ["2026-03-09"]


def test_without_start_hour_and_interval_queued_calls_all_ring_at_the_opening():
    assert ring_at(always(), moscow(3, 3), 4) == moscow(3, 9)


def test_a_start_hour_that_is_past_is_replaced_by_the_opening():
    assert ring_at(always(call_stack_start_hour=0), moscow(3, 3)) == moscow(3, 9)
    assert ring_at(always(call_stack_start_hour=0), moscow(2, 22)) == moscow(3, 0)


def test_hour_24_is_the_end_of_the_day():
    assert ring_at(always(call_stack_start_hour=24), moscow(3, 3)) == moscow(4, 0)


def test_without_nwt_action_a_night_call_rings_at_once():
    assert ring_at(call(), moscow(3, 3)) == moscow(3, 3)


def test_the_start_hour_is_in_the_sites_time_zone_even_when_daylight_saving_time_begins():
    berlin = ZoneInfo("Europe/Berlin")
    hours = WorkingHours(timezone="Europe/Berlin", days=frozenset(range(7)))
    saturday = datetime(2026, 3, 28, 23, 0, tzinfo=berlin)
    assert ring_at(always(call_stack_start_hour=10), saturday, hours=hours) == datetime(2026, 3, 29, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize("invalid", [{"opens": 18, "closes": 9}, {"closes": 25}, {"opens": -1}, {"days": frozenset()}])
def test_working_hours_that_never_open_are_refused(invalid):
    with pytest.raises(ValueError, match="working"):
        WorkingHours(**invalid)


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(ZoneInfoNotFoundError):
        WorkingHours(timezone="Europe/Nowhere")
