"""Working hours in one line, or as a table of days."""

from datetime import time
from typing import Any

import pytest

from app.settings.hours_syntax import WEEKDAYS, parse_hours

NINE_TO_SIX = (time(9), time(18))


@pytest.mark.parametrize(
    "written",
    [
        "mon-fri 09:00-18:00",
        "Mon-Fri  9:00 - 18:00",
        "mon–fri 09:00–18:00",
        "mon-wed 09:00-18:00; thu 09:00-18:00, fri 09:00-18:00",
        {"mon-fri": "09:00-18:00"},
        {"mon": "09:00-18:00", "tue-fri": "09:00-18:00"},
    ],
)
def test_working_hours_have_several_notations(written: Any) -> None:
    assert parse_hours(written) == dict.fromkeys(WEEKDAYS[:5], NINE_TO_SIX)


def test_a_day_can_be_open_round_the_clock() -> None:
    assert parse_hours("mon-sun 00:00-24:00") == dict.fromkeys(WEEKDAYS, (time(0), time.max))


INVALID = {
    "mon 9-18": "mon: write opening hours such as 09:00-18:00",
    "mon 09:00-24:01": "mon: write opening hours from 00:00 to 24:00",
    "mon 18:00-09:00": "mon: the closing time must come after the opening time, on the same day: 24:00 at the latest",
    "mon 24:00-24:00": "mon: the closing time must come after the opening time, on the same day: 24:00 at the latest",
    "fri-mon 09:00-18:00": "fri-mon: write a range of days from the earlier to the later, mon first",
    "пн-пт 09:00-18:00": "пн-пт: write days as mon, tue, wed, thu, fri, sat, sun or a range such as mon-fri",
    "mon 09:00-18:00, mon 19:00-20:00": "mon: mon is named twice: name each day once",
    "mon-fri": "write working hours such as mon-fri 09:00-18:00, sat 10:00-16:00",
}


@pytest.mark.parametrize("written", INVALID)
def test_invalid_working_hours_are_refused_with_the_fix(written: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the whole text is compared
        parse_hours(written)
    assert str(raised.value) == INVALID[written]
