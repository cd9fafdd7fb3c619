"""Finding the day of a call in items whose shape nobody documents."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.cli.plot import NoDates, day_of, days_of

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
def test_a_day_is_read_from_what_dates_look_like(written: Any, day: date | None) -> None:
    assert day_of(written, MOSCOW) == day


def test_the_field_with_the_most_dates_counts_and_of_several_the_likelier_name() -> None:
    items = [
        {"note": "", "ended": "25-11-2026", "date": "24-11-2026", "planned": None},
        {"note": "24-11-2026", "ended": "25-11-2026", "date": "24-11-2026", "planned": "26-11-2026"},
    ]
    assert days_of(items, MOSCOW) == {date(2026, 11, 24): 2}
    assert days_of([{"when": "24-11-2026"}], MOSCOW) == {date(2026, 11, 24): 1}
    assert days_of([], MOSCOW) == {}


def test_items_without_a_date_are_told_with_their_fields() -> None:
    with pytest.raises(NoDates, match=r"no field that can be taken for a date \(its fields: id, status\)"):
        days_of([{"id": "79161234567", "status": "success"}], MOSCOW)
    mostly_none = [{"date": "24-11-2026"}, {"date": ""}, {"date": ""}]
    with pytest.raises(NoDates):
        days_of(mostly_none, MOSCOW)
