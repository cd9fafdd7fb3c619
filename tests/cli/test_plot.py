"""Detection of the day of a call in statistics items, whose fields Chaser doesn't document."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.cli.plot import NoDateField, count_by_day, parse_day

MOSCOW = ZoneInfo("Europe/Moscow")


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("24-11-2026 12:00:00", date(2026, 11, 24)),
        ("04.11.2026", date(2026, 11, 4)),
        ("24/11/2026 9:05", date(2026, 11, 24)),
        ("2026-11-24", date(2026, 11, 24)),
        ("2026-11-24T23:30:00+03:00", date(2026, 11, 24)),
        ("2026.11.24 12:00", date(2026, 11, 24)),
        (1795553999, date(2026, 11, 24)),
        ("1795554000", date(2026, 11, 25)),  # midnight in Moscow
        (1795554000.25, date(2026, 11, 25)),
        ("31-02-2026", None),
        ("79161234567", None),
        (12345, None),
        ("success", None),
        (True, None),
        (None, None),
        ({"day": "24-11-2026"}, None),
    ],
)
def test_a_day_is_parsed_from_the_usual_forms_of_a_date(written: Any, day: date | None) -> None:
    assert parse_day(written, MOSCOW) == day


def test_the_field_with_the_most_dates_is_used_and_of_several_the_likeliest_name() -> None:
    items = [
        {"note": "", "ended": "25-11-2026", "date": "24-11-2026", "planned": None},
        {"note": "24-11-2026", "ended": "25-11-2026", "date": "24-11-2026", "planned": "26-11-2026"},
    ]
    assert count_by_day(items, MOSCOW) == {date(2026, 11, 24): 2}
    assert count_by_day([{"when": "24-11-2026"}], MOSCOW) == {date(2026, 11, 24): 1}
    assert count_by_day([], MOSCOW) == {}


def test_items_without_a_date_are_an_error_that_lists_their_fields() -> None:
    with pytest.raises(NoDateField, match=r"no field that can be read as a date \(its fields: id, status\)"):
        count_by_day([{"id": "79161234567", "status": "success"}], MOSCOW)
    mostly_none = [{"date": "24-11-2026"}, {"date": ""}, {"date": ""}]
    with pytest.raises(NoDateField):
        count_by_day(mostly_none, MOSCOW)
