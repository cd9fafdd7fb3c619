"""The notations of durations, limits, telephone numbers and lists."""

from datetime import timedelta
from typing import Any

import pytest

from app.settings.setting_types import parse_duration, parse_limits, parse_telephone, split_list

DURATIONS = {
    "500ms": timedelta(milliseconds=500),
    "10": timedelta(seconds=10),
    "10 s": timedelta(seconds=10),
    "1.5m": timedelta(seconds=90),
    "2 minutes": timedelta(minutes=2),
    "1 hour": timedelta(hours=1),
    "90d": timedelta(days=90),
    "90 days": timedelta(days=90),
    "999999999999d": timedelta.max,
}


@pytest.mark.parametrize("written", DURATIONS)
def test_a_duration_has_a_number_and_a_unit(written: str) -> None:
    assert parse_duration(written) == DURATIONS[written]


@pytest.mark.parametrize("written", ["", "s", "10x", "1e3", "-1s", "1h30m", "٣s", "inf", True, None, [], {"s": 1}])
def test_an_invalid_duration_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match="write a duration such as"):
        parse_duration(written)


def test_limits_are_separated_by_semicolons() -> None:
    assert [(item.amount, item.get_expiry()) for item in parse_limits("3/hour; 5 per 2 days")] == [
        (3, 3600),
        (5, 172800),
    ]


TELEPHONES = {
    "+7 (495) 123-45-67": "74951234567",
    "74951234567": "74951234567",
    "+44 20 7946 0958": "442079460958",
    "+84 91 234 56 78": "84912345678",
}


@pytest.mark.parametrize("written", TELEPHONES)
def test_a_telephone_number_has_its_country_code(written: str) -> None:
    assert parse_telephone(written) == TELEPHONES[written]


@pytest.mark.parametrize(
    "written", ["84951234567", "8 800 555-35-35", "+0123456789", "112", "1" * 16, 7495.0, True, None]
)
def test_a_number_without_its_country_code_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match="with its country code"):
        parse_telephone(written)


@pytest.mark.parametrize("written", ["a,b", " a , b ,", '["a", "b"]', ["a", "b"]])
def test_a_list_has_commas_or_is_json(written: Any) -> None:
    assert split_list(written) == ["a", "b"]


@pytest.mark.parametrize("written", ["5", 5])
def test_one_value_is_a_list_of_one(written: Any) -> None:
    assert [str(part) for part in split_list(written)] == ["5"]


@pytest.mark.parametrize("written", [{"a": 1}, None, "[" * 100_000, "[1" + "0" * 5000])
def test_an_invalid_list_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match="write a"):
        split_list(written)
