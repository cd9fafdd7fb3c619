"""The clock check: the offset that the Date header of a response proves."""

import pytest

from app.cli.clock_check import DateSample, check_clock, clock_offset

HEADER = "Tue, 24 Nov 2026 12:00:00 GMT"
NOON = 1795521600.0


@pytest.mark.parametrize(
    ("sent", "received", "seconds"),
    [
        (NOON, NOON + 0.2, 0),
        (NOON - 5, NOON + 5, 0),  # a slow answer proves nothing
        (NOON + 0.9, NOON + 1.1, 0),  # the header has whole seconds
        (NOON + 61, NOON + 62, 60),
        (NOON - 62, NOON - 60, -60),
    ],
)
def test_only_a_proven_difference_counts_as_an_offset(sent: float, received: float, seconds: float) -> None:
    assert clock_offset(DateSample(HEADER, sent, received)) == seconds


def test_a_header_that_is_not_a_date_is_ignored() -> None:
    assert clock_offset(DateSample("at noon", NOON, NOON)) is None
    assert check_clock([DateSample("at noon", NOON, NOON)])[0] == check_clock([])[0] == "note"


def test_half_a_minute_is_allowed_and_the_smallest_of_several_offsets_counts() -> None:
    assert check_clock([DateSample(HEADER, NOON + 30, NOON + 31)])[0] == "ok"
    wrong = DateSample(HEADER, NOON - 3602, NOON - 3600)
    assert check_clock([wrong, DateSample(HEADER, NOON, NOON + 1)])[0] == "ok"
    verdict, subject, message = check_clock([wrong])
    assert (verdict, subject) == ("fault", "clock")
    assert message.startswith("3600 s behind Chaser's: ")
