"""Working hours: whether a site is open, and when a call rings."""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.intake.working_hours import is_open, ring_time
from app.outbox.rings import Ring
from app.settings import Site

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = {"mon-fri": "09:00-18:00", "sat": "10:00-14:30"}


@cache
def _site(fields: str) -> Site:
    return Site.model_validate_json(fields)


def site(**fields: Any) -> Site:
    return _site(json.dumps({"site_id": 1, "origins": ["https://shop.example"], "working_hours": WEEK} | fields))


def moscow(text: str) -> datetime:
    """Return a time in Moscow (UTC+3 all year). 2 March 2026 is a Monday."""
    return datetime.fromisoformat(f"{text}+03:00")


def moment(text: str) -> datetime:
    """Return a time in UTC."""
    return datetime.fromisoformat(f"{text}+00:00")


def test_a_site_without_working_hours_counts_as_open() -> None:
    assert is_open(site(working_hours=None), moscow("2026-03-01T03:00"))


@pytest.mark.parametrize(
    ("when", "opened"),
    [
        ("2026-03-02T08:59:59.999999", False),
        ("2026-03-02T09:00", True),
        ("2026-03-02T17:59:59.999999", True),
        ("2026-03-02T18:00", False),
        ("2026-03-07T14:29:59", True),
        ("2026-03-07T14:30", False),
        ("2026-03-08T12:00", False),
    ],
)
def test_a_site_is_open_from_its_opening_up_to_its_closing(when: str, opened: bool) -> None:
    assert is_open(site(), moscow(when)) is opened
    assert is_open(site(), moscow(when).astimezone(UTC)) is opened


def test_a_day_may_end_at_midnight() -> None:
    late = site(working_hours={"mon-sun": "00:00-24:00"})
    assert is_open(late, moscow("2026-03-02T23:59:59.999999"))
    assert is_open(late, moscow("2026-03-02T00:00"))


def test_the_hours_are_those_of_the_sites_time_zone() -> None:
    now = moscow("2026-03-02T09:30")
    assert is_open(site(), now)
    assert is_open(site(timezone="Asia/Vladivostok"), now)  # 16:30 there
    assert not is_open(site(timezone="Europe/London"), now)  # 06:30 there


DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
MONDAY_NIGHT = "2026-03-02T20:00"
ACTIONS = (None, "create_leed", "always_call")


def ring(
    of: Site,
    wanted: datetime,
    action: str | None = "always_call",
    start_hour: int | None = None,
    interval: int | None = None,
    *,
    now: datetime | None = None,
) -> Ring:
    found = ring_time(of, action, start_hour, interval, wanted, now or wanted)
    assert found.at.utcoffset() == found.until.utcoffset() == timedelta(0)
    return found


@pytest.mark.parametrize("action", [None, "create_leed"])
def test_with_unknown_hours_it_may_ring_within_a_day(action: str | None) -> None:
    wanted = moscow("2026-03-02T10:00")
    assert ring(site(working_hours=None), wanted, action) == Ring(wanted, wanted + DAY, certain=False, rings=True)
    planned = ring(site(working_hours=None), wanted, action, now=wanted - DAY)
    assert planned == Ring(wanted, wanted + DAY, certain=False, rings=True)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("wanted", ["2026-03-02T09:00", "2026-03-02T10:00", "2026-03-02T17:58:59.999999"])
def test_an_open_site_calls_at_once_whatever_its_action_when_closed(action: str | None, wanted: str) -> None:
    at = moscow(wanted)
    assert ring(site(), at, action, 11, 5) == Ring(at, at, certain=True, rings=True)
    assert ring(site(), at, action, 11, 5, now=at - DAY) == Ring(at, at, certain=True, rings=True)


LAST_MINUTES: dict[str, tuple[str | None, int | None, str]] = {
    "Chaser's own setting": (None, None, "2026-03-03T18:00"),
    "a lead": ("create_leed", None, "2026-03-02T18:00"),
    "a call on the next day": ("always_call", None, "2026-03-03T18:00"),
    "a call at an hour after closing": ("always_call", 20, "2026-03-03T20:00"),
}


@pytest.mark.parametrize("case", LAST_MINUTES)
@pytest.mark.parametrize("wanted", ["2026-03-02T17:59", "2026-03-02T17:59:59.999999"])
def test_in_the_last_minute_before_closing_no_time_is_certain(case: str, wanted: str) -> None:
    action, start_hour, until = LAST_MINUTES[case]
    at = moscow(wanted)
    assert ring(site(), at, action, start_hour) == Ring(at, moscow(until), certain=False, rings=True)


def test_the_last_minute_before_a_weekend_lasts_until_the_end_of_the_next_working_day() -> None:
    at = moscow("2026-03-07T14:29:30")  # a Saturday
    assert ring(site(), at, None).until == moscow("2026-03-09T18:00")


@pytest.mark.parametrize(
    ("hours", "wanted", "certain"),
    [
        ({"mon-sun": "00:00-24:00"}, "2026-03-02T23:59:59.999999", True),
        ({"mon-sun": "00:00-24:00"}, "2026-03-08T23:59:30", True),
        ({"mon-fri": "00:00-24:00"}, "2026-03-05T23:59:30", True),
        ({"mon-fri": "00:00-24:00"}, "2026-03-06T23:59:30", False),
        ({"mon": "09:00-24:00", "tue": "00:00-10:00"}, "2026-03-02T23:59:30", True),
        ({"mon": "09:00-24:00", "tue": "00:01-10:00"}, "2026-03-02T23:59:30", False),
    ],
)
def test_midnight_is_a_closing_time_only_if_the_next_day_does_not_begin_then(
    hours: dict[str, str], wanted: str, certain: bool
) -> None:
    assert ring(site(working_hours=hours), moscow(wanted)).certain is certain


@pytest.mark.parametrize("zone", ["Europe/Moscow", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_site_open_round_the_clock_has_no_last_minute(zone: str, action: str | None) -> None:
    always = site(timezone=zone, working_hours={"mon-sun": "00:00-24:00"})
    for minute in range(0, 366 * 24 * 60, 97):
        at = NEW_YEAR + minute * MINUTE
        assert ring(always, at, action, 10, 5) == Ring(at, at, certain=True, rings=True)


@pytest.mark.parametrize(
    ("wanted", "start_hour", "called"),
    [
        (MONDAY_NIGHT, None, "2026-03-03T09:00"),
        (MONDAY_NIGHT, 10, "2026-03-03T10:00"),
        (MONDAY_NIGHT, 0, "2026-03-03T00:00"),
        (MONDAY_NIGHT, 24, "2026-03-04T00:00"),
        ("2026-03-02T18:00", 10, "2026-03-03T10:00"),
        ("2026-03-03T03:00", 10, "2026-03-03T10:00"),
        ("2026-03-03T03:00", None, "2026-03-03T09:00"),
        ("2026-03-03T03:00", 5, "2026-03-03T05:00"),
        ("2026-03-03T03:00", 3, "2026-03-03T09:00"),
        ("2026-03-03T03:00", 2, "2026-03-03T09:00"),
        ("2026-03-03T03:00", 0, "2026-03-03T09:00"),
        ("2026-03-03T03:00", 24, "2026-03-04T00:00"),
        ("2026-03-06T20:00", 11, "2026-03-07T11:00"),
        ("2026-03-07T14:30", 10, "2026-03-09T10:00"),
        ("2026-03-08T12:00", None, "2026-03-09T09:00"),
    ],
)
def test_a_closed_site_that_always_calls_does_so_on_its_next_working_day(
    wanted: str, start_hour: int | None, called: str
) -> None:
    expected = Ring(moscow(called), moscow(called), certain=True, rings=True)
    assert ring(site(), moscow(wanted), start_hour=start_hour) == expected
    assert ring(site(), moscow(wanted), start_hour=start_hour, interval=0) == expected
    assert ring(site(), moscow(wanted), start_hour=start_hour, now=moscow(wanted) - DAY) == expected, "planned"


@pytest.mark.parametrize(
    ("start_hour", "at", "until"),
    [
        (None, "2026-03-03T09:00", "2026-03-03T18:00"),
        (10, "2026-03-03T10:00", "2026-03-03T18:00"),
        (20, "2026-03-03T20:00", "2026-03-03T20:00"),
        (24, "2026-03-04T00:00", "2026-03-04T00:00"),
    ],
)
def test_with_an_interval_the_calls_of_a_night_are_spread_over_the_working_day(
    start_hour: int | None, at: str, until: str
) -> None:
    expected = Ring(moscow(at), moscow(until), certain=True, rings=True)
    assert ring(site(), moscow(MONDAY_NIGHT), start_hour=start_hour, interval=5) == expected


def test_a_closed_site_sends_a_lead_at_once() -> None:
    now = moscow(MONDAY_NIGHT)
    lead = Ring(now, now, certain=False, rings=False)
    assert ring(site(), now, "create_leed") == lead
    assert ring(site(), now + 3 * timedelta(hours=1), "create_leed", now=now) == lead, "planned"
    assert lead.promise is None


def test_a_closed_site_without_an_action_may_ring_until_the_end_of_its_next_working_day() -> None:
    now = moscow(MONDAY_NIGHT)
    assert ring(site(), now, None) == Ring(now, moscow("2026-03-03T18:00"), certain=False, rings=True)
    early = moscow("2026-03-03T03:00")
    assert ring(site(), early, None) == Ring(early, moscow("2026-03-03T18:00"), certain=False, rings=True)
    friday, sunday = moscow("2026-03-06T20:00"), moscow("2026-03-08T12:00")
    assert ring(site(), friday, None, now=now).until == moscow("2026-03-07T14:30")
    assert ring(site(), sunday, None).until == moscow("2026-03-09T18:00")


def test_only_a_certain_ring_is_promised() -> None:
    now = moscow(MONDAY_NIGHT)
    assert ring(site(), now).promise == moscow("2026-03-03T09:00")
    assert ring(site(), now, interval=5).promise == moscow("2026-03-03T09:00")
    assert ring(site(), moscow("2026-03-02T10:00")).promise == moscow("2026-03-02T10:00")
    assert ring(site(), moscow("2026-03-02T17:59")).promise is None
    assert ring(site(), now, None).promise is None
    assert ring(site(working_hours=None), now, None).promise is None


def test_a_site_that_opens_once_a_week_calls_in_a_week() -> None:
    weekly = site(working_hours={"wed": "09:00-10:00"})
    assert ring(weekly, moscow("2026-03-04T10:00")).at == moscow("2026-03-11T09:00")
    assert ring(weekly, moscow("2026-03-04T09:59:30"), None).until == moscow("2026-03-11T10:00")


@pytest.mark.parametrize(
    ("zone", "called"),
    [
        ("Europe/Moscow", "2026-03-03T06:00"),
        ("Asia/Vladivostok", "2026-03-02T23:00"),
        ("Asia/Kathmandu", "2026-03-03T03:15"),
        ("America/Halifax", "2026-03-03T13:00"),
    ],
)
def test_a_call_rings_at_the_opening_in_the_sites_time_zone(zone: str, called: str) -> None:
    assert ring(site(timezone=zone), moment("2026-03-02T22:59")).at == moment(called)


SPRING, AUTUMN = datetime(2026, 3, 28, 19, tzinfo=UTC), datetime(2026, 10, 24, 19, tzinfo=UTC)
"""Saturday evenings before the clocks change in Berlin: to summer time (UTC+2), and back (UTC+1)."""


@pytest.mark.parametrize(
    ("wanted", "start_hour", "at", "until"),
    [
        (SPRING, None, "2026-03-29T07:00", "2026-03-29T16:00"),
        (SPRING, 0, "2026-03-28T23:00", "2026-03-29T16:00"),
        (SPRING, 2, "2026-03-29T01:00", "2026-03-29T16:00"),  # that hour is skipped
        (SPRING, 24, "2026-03-29T22:00", "2026-03-29T22:00"),
        (AUTUMN, None, "2026-10-25T08:00", "2026-10-25T17:00"),
        (AUTUMN, 0, "2026-10-24T22:00", "2026-10-25T17:00"),
        (AUTUMN, 2, "2026-10-25T00:00", "2026-10-25T17:00"),  # the first of two such hours
        (AUTUMN, 24, "2026-10-25T23:00", "2026-10-25T23:00"),
    ],
)
def test_a_change_of_clocks_at_night_moves_the_call(
    wanted: datetime, start_hour: int | None, at: str, until: str
) -> None:
    berlin = site(timezone="Europe/Berlin", working_hours={"sun": "09:00-18:00"})
    expected = Ring(moment(at), moment(until), certain=True, rings=True)
    assert ring(berlin, wanted, start_hour=start_hour, interval=5) == expected


@pytest.mark.parametrize(
    ("hours", "wanted", "until"),
    [
        # 02:30 does not exist: the bar closes when the clocks go from 02:00 to 03:00, at most half an hour later.
        ("00:00-02:30", datetime(2026, 3, 28, 19, tzinfo=UTC), "2026-03-29T01:30"),
        # 02:30 occurs twice: the second one is half past one in UTC.
        ("00:00-02:30", datetime(2026, 10, 24, 19, tzinfo=UTC), "2026-10-25T01:30"),
        ("00:00-24:00", datetime(2026, 3, 28, 19, tzinfo=UTC), "2026-03-29T22:00"),
        ("00:00-24:00", datetime(2026, 10, 24, 19, tzinfo=UTC), "2026-10-25T23:00"),
    ],
)
def test_a_day_of_changing_clocks_ends_at_its_last_moment(hours: str, wanted: datetime, until: str) -> None:
    berlin = site(timezone="Europe/Berlin", working_hours={"sun": hours})
    assert ring(berlin, wanted, None).until == moment(until)


def test_the_last_minute_of_a_day_of_changing_clocks_is_found() -> None:
    berlin = site(timezone="Europe/Berlin", working_hours={"sun": "09:00-18:00", "mon": "09:00-18:00"})
    for closing in (moment("2026-03-29T16:00"), moment("2026-10-25T17:00")):
        assert ring(berlin, closing - 2 * MINUTE).certain
        assert ring(berlin, closing - MINUTE, None) == Ring(closing - MINUTE, closing + DAY, certain=False, rings=True)


@given(
    st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: NEW_YEAR + timedelta(minutes=minutes)),
    st.none() | st.integers(0, 24),
    st.none() | st.integers(0, 60),
    st.sampled_from(ACTIONS),
    st.sampled_from(["Europe/Moscow", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"]),
)
def test_no_call_rings_before_it_is_wanted_or_later_than_on_the_next_working_day(
    now: datetime, start_hour: int | None, interval: int | None, action: str | None, zone: str
) -> None:
    of = site(timezone=zone)
    found = ring(of, now, action, start_hour, interval)
    assert now <= found.at <= found.until <= now + timedelta(days=4)
    opened = is_open(of, now)
    assert found.rings or (action == "create_leed" and not opened)
    assert found.certain == (is_open(of, now + MINUTE) if opened else action == "always_call")
