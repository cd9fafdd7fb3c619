"""What the date of an answer tells of our clock."""

import pytest

from app.cli.clock_check import Dated, ahead, clock_line

HEADER = "Tue, 24 Nov 2026 12:00:00 GMT"
NOON = 1795521600.0


@pytest.mark.parametrize(
    ("sent", "received", "seconds"),
    [
        (NOON, NOON + 0.2, 0),
        (NOON - 5, NOON + 5, 0),  # a slow answer proves nothing
        (NOON + 0.9, NOON + 1.1, 0),  # they tell whole seconds
        (NOON + 61, NOON + 62, 60),
        (NOON - 62, NOON - 60, -60),
    ],
)
def test_only_what_is_certain_counts_as_a_difference(sent: float, received: float, seconds: float) -> None:
    assert ahead(Dated(HEADER, sent, received)) == seconds


def test_a_header_that_is_no_date_tells_nothing() -> None:
    assert ahead(Dated("at noon", NOON, NOON)) is None
    assert clock_line([Dated("at noon", NOON, NOON)])[0] == clock_line([])[0] == "note"


def test_half_a_minute_is_allowed_and_the_best_of_several_answers_counts() -> None:
    assert clock_line([Dated(HEADER, NOON + 30, NOON + 31)])[0] == "ok"
    wrong = Dated(HEADER, NOON - 3602, NOON - 3600)
    assert clock_line([wrong, Dated(HEADER, NOON, NOON + 1)])[0] == "ok"
    verdict, subject, words = clock_line([wrong])
    assert (verdict, subject) == ("fault", "clock")
    assert words.startswith("3600 s behind Chaser's: ")
