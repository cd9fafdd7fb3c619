"""Planned times: the offered slots, and that they are accepted."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.intake.scheduling import SERVICES_HORIZON, VISITORS_HORIZON, available_slots, check_planned_time
from app.intake.working_hours import is_open
from app.settings import WEEKDAYS, Site

WEEK = "mon-fri 09:00-18:00, sat 10:00-14:30"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def site(working_hours: str | None = WEEK, timezone: str = "Europe/Moscow") -> Site:
    fields = {"site_id": 1, "origins": ["https://shop.example"], "timezone": timezone}
    return Site.model_validate(fields | ({"working_hours": working_hours} if working_hours else {}))


def moscow(text: str) -> datetime:
    """Return a time in Moscow (UTC+3 all year) in UTC. 2 March 2026 is a Monday."""
    return datetime.fromisoformat(f"{text}+03:00").astimezone(UTC)


def offered(of: Site, now: datetime) -> list[str]:
    """Return the offered slots in the site's time zone, day of the month first."""
    return [f"{moment.astimezone(of.timezone):%d %H:%M}" for moment in available_slots(of, now)]


def test_slots_are_half_hours_of_the_next_three_open_days() -> None:
    times = offered(site(), moscow("2026-03-05T16:10"))  # a Thursday
    assert times[:4] == ["05 16:30", "05 17:00", "05 17:30", "06 09:00"]
    assert times[-2:] == ["07 13:30", "07 14:00"]  # a Saturday
    assert len(times) == 3 + 18 + 9


def test_a_day_without_a_slot_left_is_not_counted() -> None:
    times = offered(site(), moscow("2026-03-05T17:31"))
    assert times[0] == "06 09:00"
    assert {time[:2] for time in times} == {"06", "07", "09"}


@pytest.mark.parametrize(
    ("requested", "first"),
    [
        ("2026-03-02T10:00", "02 10:30"),
        ("2026-03-02T10:15", "02 10:30"),
        ("2026-03-02T10:15:00.000001", "02 11:00"),
        ("2026-03-02T08:44", "02 09:00"),
        ("2026-03-02T08:46", "02 09:30"),
        ("2026-03-01T23:59:59", "02 09:00"),
    ],
)
def test_the_first_slot_is_at_least_a_quarter_of_an_hour_ahead(requested: str, first: str) -> None:
    assert offered(site(), moscow(requested))[0] == first


def test_a_day_that_closes_at_midnight_has_its_last_half_hour() -> None:
    assert offered(site("mon-tue 22:00-24:00"), moscow("2026-03-02T20:00")) == [
        *("02 22:00", "02 22:30", "02 23:00", "02 23:30"),
        *("03 22:00", "03 22:30", "03 23:00", "03 23:30"),
    ]


def test_a_site_without_working_hours_offers_no_slots() -> None:
    assert offered(site(None), moscow("2026-03-02T10:00")) == []


def test_no_more_than_60_slots_are_offered() -> None:
    times = offered(site("mon-sun 00:00-24:00"), moscow("2026-03-02T00:00"))
    assert (times[0], times[-1], len(times)) == ("02 00:30", "03 06:00", 60)


def test_a_site_that_opens_once_a_week_offers_that_day_alone() -> None:
    assert offered(site("wed 09:00-10:00"), moscow("2026-03-04T09:50")) == ["11 09:00", "11 09:30"]


def test_working_hours_too_short_for_a_half_hour_offer_nothing() -> None:
    assert available_slots(site("mon-sun 09:05-09:25"), moscow("2026-03-04T09:50")) == []


def test_half_hours_are_those_of_the_sites_time_zone() -> None:
    kathmandu = site("mon-sun 09:00-10:00", "Asia/Kathmandu")  # 5:45 ahead of UTC
    times = available_slots(kathmandu, datetime(2026, 3, 2, tzinfo=UTC))
    assert times[:2] == [datetime(2026, 3, 2, 3, 15, tzinfo=UTC), datetime(2026, 3, 2, 3, 45, tzinfo=UTC)]


def test_an_hour_skipped_by_the_change_of_clocks_is_not_offered() -> None:
    berlin = site("sun 01:00-04:00", "Europe/Berlin")
    assert offered(berlin, datetime(2026, 3, 28, 12, tzinfo=UTC)) == ["29 01:00", "29 01:30", "29 03:00", "29 03:30"]


def test_an_hour_repeated_by_the_change_of_clocks_is_offered_once() -> None:
    berlin = site("sun 01:30-03:30", "Europe/Berlin")
    now = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert offered(berlin, now) == ["25 01:30", "25 02:00", "25 02:30", "25 03:00"]
    first, second, _, last = available_slots(berlin, now)
    assert (second - first, last - first) == (timedelta(minutes=30), timedelta(hours=2, minutes=30))


ZONES = ["Europe/Moscow", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
CLOCK = st.integers(0, 96).map(lambda quarters: f"{quarters // 4:02}:{quarters % 4 * 15:02}")


@st.composite
def sites(draw: st.DrawFn) -> Site:
    """A site with different working hours each day, or none."""
    days = draw(st.lists(st.sampled_from(WEEKDAYS), unique=True, min_size=1))
    openings = [sorted(draw(st.lists(CLOCK, min_size=2, max_size=2, unique=True))) for _ in days]
    hours = ", ".join(f"{day} {opens}-{closes}" for day, (opens, closes) in zip(days, openings, strict=True))
    return site(hours, draw(st.sampled_from(ZONES)))


MOMENTS = st.integers(0, 2 * 365 * 24 * 3600).map(lambda seconds: NEW_YEAR + timedelta(seconds=seconds))
# When clocks change in the zones above: 29 March and 25 October, 8 March and 1 November, 5 April and 4 October.
CHANGES = [date(2026, 3, 28), date(2026, 10, 24), date(2026, 3, 7), date(2026, 10, 31), date(2026, 4, 4)]
NIGHTS = st.builds(
    lambda day, hours: datetime.combine(day, time(), UTC) + timedelta(hours=hours),
    st.sampled_from(CHANGES),
    st.floats(0, 72),
)


def expected_slots(of: Site, now: datetime) -> Iterator[datetime]:
    """Yield the existing half hours of the local time, day by day, within the working hours and the horizon."""
    assert of.working_hours is not None
    today = now.astimezone(of.timezone).date()
    for day in (today + timedelta(days=days) for days in range(9)):
        opens, closes = of.working_hours.get(WEEKDAYS[day.weekday()], (time.max, time.min))
        for half_hour in range(48):
            wall_time = time(half_hour // 2, half_hour % 2 * 30)
            local = datetime.combine(day, wall_time, of.timezone)
            moment = local.astimezone(UTC)
            exists = moment.astimezone(of.timezone).replace(tzinfo=None) == local.replace(tzinfo=None)
            if (
                exists
                and opens <= wall_time < closes
                and now + timedelta(minutes=15) <= moment <= now + VISITORS_HORIZON
            ):
                yield moment


@given(sites(), MOMENTS | NIGHTS)
def test_exactly_the_half_hours_within_the_working_hours_of_three_days_are_offered(of: Site, now: datetime) -> None:
    expected = list(expected_slots(of, now))
    days = list(dict.fromkeys(moment.astimezone(of.timezone).date() for moment in expected))[:3]
    assert (
        available_slots(of, now)
        == [moment for moment in expected if moment.astimezone(of.timezone).date() in days][:60]
    )


@given(sites(), MOMENTS | NIGHTS, st.floats(0, 1))
def test_an_offered_slot_is_accepted_until_its_time_has_come(of: Site, now: datetime, waited: float) -> None:
    for moment in available_slots(of, now):
        assert now + timedelta(minutes=15) <= moment
        assert is_open(of, moment)
        later = min(now + (moment - now) * waited, moment - timedelta(microseconds=1))
        assert check_planned_time(of, moment, later, by_visitor=True) is None
        assert check_planned_time(of, moment, later, by_visitor=False) is None


NOW = moscow("2026-03-02T10:00")
CHECKS: list[tuple[timedelta, bool, str | None]] = [
    (timedelta(0), True, "planned_time_past"),
    (timedelta(0), False, "planned_time_past"),
    (timedelta(microseconds=1), True, None),
    (timedelta(hours=8) - timedelta(microseconds=1), True, None),
    (timedelta(hours=8), True, "planned_time_closed"),
    (timedelta(hours=8), False, None),
    (VISITORS_HORIZON, True, None),
    (VISITORS_HORIZON + timedelta(microseconds=1), True, "planned_time_too_far"),
    (VISITORS_HORIZON + timedelta(microseconds=1), False, None),
    (SERVICES_HORIZON, False, None),
    (SERVICES_HORIZON + timedelta(microseconds=1), False, "planned_time_too_far"),
]


@pytest.mark.parametrize(("ahead", "by_visitor", "code"), CHECKS)
def test_an_impossible_time_is_refused_with_its_reason(ahead: timedelta, by_visitor: bool, code: str | None) -> None:
    error = check_planned_time(site(), NOW + ahead, NOW, by_visitor=by_visitor)
    assert (error and (error.field, error.code)) == (code and ("planned_time", code))


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    closing = moscow("2026-03-02T18:00").astimezone(ZoneInfo("Asia/Tokyo"))
    error = check_planned_time(site(), closing, NOW, by_visitor=True)
    assert error is not None
    assert error.code == "planned_time_closed"


def test_a_site_without_working_hours_accepts_a_visitors_time_at_night() -> None:
    assert check_planned_time(site(None), moscow("2026-03-03T03:00"), NOW, by_visitor=True) is None
