"""Working hours: whether a site is open, and when a call is expected."""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.intake.working_hours import expected_call, is_open
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


def test_a_site_without_working_hours_is_always_open() -> None:
    always = site(working_hours=None)
    now = moscow("2026-03-01T03:00")
    assert is_open(always, now)
    assert expected_call(always, None, None, now) == now


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
    assert is_open(late, moscow("2026-03-02T23:59:59.999998"))
    assert is_open(late, moscow("2026-03-02T00:00"))


def test_the_hours_are_those_of_the_sites_time_zone() -> None:
    now = moscow("2026-03-02T09:30")
    assert is_open(site(), now)
    assert is_open(site(timezone="Asia/Vladivostok"), now)  # 16:30 there
    assert not is_open(site(timezone="Europe/London"), now)  # 06:30 there


def test_an_open_site_calls_at_once_whatever_its_action_when_closed() -> None:
    now = moscow("2026-03-02T10:00")
    for action in (None, "create_leed", "always_call"):
        assert expected_call(site(), action, 11, now) == now


@pytest.mark.parametrize("action", [None, "create_leed"])
def test_a_closed_site_that_does_not_always_call_promises_nothing(action: str | None) -> None:
    assert expected_call(site(), action, None, moscow("2026-03-02T20:00")) is None


@pytest.mark.parametrize(
    ("requested", "start_hour", "called"),
    [
        ("2026-03-02T20:00", None, "2026-03-03T09:00"),
        ("2026-03-02T20:00", 10, "2026-03-03T10:00"),
        ("2026-03-02T20:00", 24, "2026-03-04T00:00"),
        ("2026-03-03T03:00", 10, "2026-03-03T10:00"),
        ("2026-03-03T03:00", None, "2026-03-03T09:00"),
        ("2026-03-03T03:00", 5, "2026-03-03T05:00"),
        ("2026-03-06T20:00", 11, "2026-03-07T11:00"),
        ("2026-03-07T14:30", 10, "2026-03-09T10:00"),
        ("2026-03-08T12:00", None, "2026-03-09T09:00"),
    ],
)
def test_a_closed_site_that_always_calls_does_so_on_its_next_working_day(
    requested: str, start_hour: int | None, called: str
) -> None:
    expected = expected_call(site(), "always_call", start_hour, moscow(requested))
    assert expected == moscow(called)
    assert expected is not None
    assert expected.utcoffset() == timedelta(0)


def test_after_a_start_hour_that_has_passed_the_opening_is_used() -> None:
    assert expected_call(site(), "always_call", 2, moscow("2026-03-03T03:00")) == moscow("2026-03-03T09:00")


def test_a_change_of_clocks_at_night_is_taken_into_account() -> None:
    berlin = site(timezone="Europe/Berlin", working_hours={"sun": "09:00-18:00"})
    # 28 March 2026 at 20:00 in Berlin is 19:00 UTC; the next day at 9:00 is already summer time, 7:00 UTC.
    requested = datetime(2026, 3, 28, 19, tzinfo=UTC)
    assert expected_call(berlin, "always_call", None, requested) == datetime(2026, 3, 29, 7, tzinfo=UTC)


@given(
    st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: NEW_YEAR + timedelta(minutes=minutes)),
    st.none() | st.integers(0, 24),
    st.sampled_from(["Europe/Moscow", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"]),
)
def test_a_call_is_never_expected_in_the_past_or_later_than_on_the_next_working_day(
    now: datetime, start_hour: int | None, zone: str
) -> None:
    expected = expected_call(site(timezone=zone), "always_call", start_hour, now)
    assert expected is not None
    assert now <= expected <= now + timedelta(days=4)
