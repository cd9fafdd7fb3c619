"""Duplicates: which callback covers a request, what its sender is told, and what a merge changes."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.admission.admission_request import Merge
from app.admission.decide import decide
from app.outbox.callback import ACTIVE_STATUSES, Status
from app.outbox.rings import Ring
from tests.admission.deciding import (
    API_KEY,
    HOUR,
    MINUTE,
    NOW,
    OTHER_ADDRESS,
    OTHER_PHONE,
    SECOND,
    answered,
    config,
    covered_by,
    request,
    result,
    ring_at,
    snapshot,
    stored,
)

WINDOW = MINUTE
MICROSECOND = timedelta(microseconds=1)
LATER = NOW + 5 * HOUR


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.DUPLICATE])
def test_an_active_callback_covers_a_request_and_no_other_does(status: Status) -> None:
    one = stored(status)
    decision = decide(request(), snapshot(one), config())
    if status in ACTIVE_STATUSES:
        assert (result(decision), covered_by(decision)) == ("duplicate", one.id)
    else:
        assert result(decision) == "queued"


def test_the_active_statuses_are_those_of_calls_that_ring_or_may_have_rung() -> None:
    assert set(ACTIVE_STATUSES) == {"queued", "sending", "placed", "unknown"}


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (-WINDOW - MICROSECOND, "queued"),
        (-WINDOW, "duplicate"),
        (timedelta(0), "duplicate"),
        (WINDOW, "duplicate"),
        (WINDOW + MICROSECOND, "queued"),
    ],
)
@pytest.mark.parametrize("planned", [False, True], ids=["now", "planned"])
def test_a_callback_covers_what_rings_within_the_window_before_or_after_it(
    distance: timedelta, expected: str, *, planned: bool
) -> None:
    at = {"planned_time": LATER} if planned else {}
    one = stored(Status.PLACED, rings_at=(LATER if planned else NOW) + distance)
    assert result(decide(request(**at), snapshot(one), config(duplicate_window=WINDOW))) == expected


@pytest.mark.parametrize("window", [SECOND, 10 * MINUTE])
def test_the_window_is_a_setting(window: timedelta) -> None:
    rules = config(duplicate_window=window)
    assert result(decide(request(), snapshot(stored(Status.PLACED, rings_at=NOW - window)), rules)) == "duplicate"
    other = stored(Status.PLACED, rings_at=NOW - window - MICROSECOND)
    assert result(decide(request(), snapshot(other), rules)) == "queued"


@pytest.mark.parametrize("planned_time", [None, NOW + HOUR], ids=["now", "in an hour"])
def test_a_call_planned_for_later_covers_no_earlier_one(planned_time: datetime | None) -> None:
    """Otherwise a stranger could keep a phone from ringing until then."""
    planned = stored(planned_time=NOW + 9 * HOUR)
    assert result(decide(request(planned_time=planned_time), snapshot(planned), config())) == "queued"
    assert result(decide(request(planned_time=NOW + 9 * HOUR), snapshot(planned), config())) == "duplicate"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, "duplicate"),
        ({"site": "blog"}, "queued"),
        ({"phone": OTHER_PHONE}, "queued"),
        ({"department": "sales"}, "queued"),
        ({"given": ("74950000001", None)}, "queued"),
        ({"given": (None, "Order 17")}, "queued"),
        ({"by_visitor": False}, "duplicate"),
    ],
    ids=str,
)
def test_a_callback_covers_the_same_wish_only(other: dict[str, Any], expected: str) -> None:
    assert result(decide(request(), snapshot(stored(**other)), config())) == expected


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        # Rendered from the settings: they may have changed since.
        ({"manager_phone": "74950000001"}, (None, None), "duplicate"),
        ({"message_on_ring": "Order 17"}, (None, None), "duplicate"),
        # As an API key sent them.
        ({"manager_phone": "74950000001", "manager_given": True}, (None, None), "queued"),
        ({"manager_phone": "74950000001", "manager_given": True}, ("74950000001", None), "duplicate"),
        ({"manager_phone": "74950000001", "manager_given": True}, ("74950000002", None), "queued"),
        ({"message_on_ring": "Order 17", "message_given": True}, (None, None), "queued"),
        ({"message_on_ring": "Order 17", "message_given": True}, (None, "Order 17"), "duplicate"),
        ({"message_on_ring": "Order 17", "message_given": True}, (None, "Order 18"), "queued"),
        ({}, ("74950000001", "Order 17"), "queued"),
    ],
)
def test_manager_and_message_distinguish_two_requests_only_as_an_api_key_sent_them(
    mine: dict[str, Any], other: tuple[str | None, str | None], expected: str
) -> None:
    decision = decide(request(api_key=API_KEY, **mine), snapshot(stored(given=other)), config())
    assert result(decision) == expected


@pytest.mark.parametrize("department", ["sales", None])
def test_a_department_covers_itself(department: str | None) -> None:
    found = snapshot(stored(department=department))
    assert result(decide(request(department=department), found, config())) == "duplicate"


@pytest.mark.parametrize("moved", [{"account": "4712"}, {"chaser_site_id": 54321}], ids=lambda moved: next(iter(moved)))
@pytest.mark.parametrize(
    ("one", "expected"),
    [
        ({"status": Status.QUEUED}, "queued"),
        ({"status": Status.SENDING}, "queued"),
        ({"status": Status.UNKNOWN, "due_at": NOW + SECOND}, "queued"),
        ({"status": Status.PLACED}, "duplicate"),
        ({"status": Status.UNKNOWN}, "duplicate"),
    ],
    ids=["queued", "sending", "resend due", "placed", "unknown"],
)
def test_what_is_still_to_be_sent_under_a_former_account_covers_nothing(
    one: dict[str, Any], expected: str, moved: dict[str, Any]
) -> None:
    """Nobody may send it any more."""
    assert result(decide(request(**moved), snapshot(stored(**one)), config())) == expected


def test_a_callback_that_waits_covers_a_request_however_late() -> None:
    one = stored(created_at=NOW - 9 * HOUR)
    assert covered_by(decide(request(), snapshot(one), config())) == one.id


@pytest.mark.parametrize("age", [WINDOW, WINDOW + SECOND])
def test_an_unknown_call_without_a_resend_rang_at_its_attempt(age: timedelta) -> None:
    one = stored(Status.UNKNOWN, created_at=NOW - HOUR, rings_at=NOW - age)
    assert result(decide(request(), snapshot(one), config())) == ("duplicate" if age == WINDOW else "queued")


def test_an_unknown_call_with_a_resend_rings_when_that_is_sent() -> None:
    one = stored(Status.UNKNOWN, created_at=NOW - HOUR, due_at=NOW + 30 * SECOND)
    assert covered_by(decide(request(), snapshot(one), config())) == one.id
    opens = config(ring_time=ring_at(LATER))
    assert result(decide(request(), snapshot(one), opens)) == "queued", "its resend rings later"
    assert result(decide(request(planned_time=LATER), snapshot(one), opens)) == "duplicate"


def test_a_waiting_call_rings_when_it_would_if_it_was_sent_now() -> None:
    """It was accepted for this evening, and the shop has closed since."""
    morning = NOW + 15 * HOUR
    one = stored(created_at=NOW - 9 * HOUR)
    closed = config(ring_time=ring_at(morning))
    assert result(decide(request(rings_at=morning), snapshot(one), closed)) == "duplicate"


def test_leads_compare_when_they_are_sent() -> None:
    def lead(_wish: object, now: datetime) -> Ring:
        return Ring(now, now, certain=False, rings=False)

    rules, lead_request = config(ring_time=lead), {"nwt_action": "create_leed", "call_expected_at": None}
    waiting = stored(created_at=NOW - HOUR, nwt_action="create_leed")
    assert result(decide(request(**lead_request, rings_at=NOW), snapshot(waiting), rules)) == "duplicate"
    for age, expected in ((WINDOW, "duplicate"), (WINDOW + SECOND, "queued")):
        sent = stored(Status.PLACED, created_at=NOW - HOUR, rings_at=NOW - age)
        assert result(decide(request(**lead_request, rings_at=NOW), snapshot(sent), rules)) == expected


def test_of_several_callbacks_the_nearest_covers_a_request() -> None:
    near, nearer = (stored(Status.PLACED, rings_at=NOW - age) for age in (20 * SECOND, 10 * SECOND))
    after = stored(Status.PLACED, rings_at=NOW + 15 * SECOND)
    assert covered_by(decide(request(), snapshot(near, nearer, after), config())) == nearer.id


def test_no_duplicate_covers_another_request() -> None:
    one = stored(Status.PLACED)
    found = snapshot(one, stored(Status.DUPLICATE, duplicate_of=one.id, rings_at=NOW))
    assert covered_by(decide(request(), found, config())) == one.id
    assert covered_by(decide(request(), found, config())) == one.id, "nor one of this batch"


def test_the_next_request_of_a_batch_is_covered_by_the_first() -> None:
    found = snapshot()
    first, again = (decide(request(), found, config()) for _ in range(2))
    assert (result(first), covered_by(again)) == ("queued", answered(first).id)


@pytest.mark.parametrize("address", [None, OTHER_ADDRESS], ids=["the same visitor", "another visitor"])
def test_the_answer_to_a_duplicate_is_word_for_word_that_of_a_new_request(address: str | None) -> None:
    one = stored(Status.PLACED, call_expected_at=NOW - SECOND)
    duplicate = decide(request(address), snapshot(one), config())
    new = decide(request(address), snapshot(), config())
    assert (result(duplicate), result(new)) == ("duplicate", "queued")
    assert duplicate.answer == replace(answered(new), id=answered(duplicate).id)
    assert not answered(duplicate).duplicate


@pytest.mark.parametrize("status", ACTIVE_STATUSES)
def test_an_api_key_is_told_which_callback_covers_its_request(status: Status) -> None:
    one = stored(status, call_expected_at=NOW + HOUR)
    answer = answered(decide(request(api_key=API_KEY), snapshot(one), config()))
    assert (answer.id, answer.status, answer.duplicate) == (one.id, status, True)
    assert (answer.created_at, answer.call_expected_at) == (one.created_at, one.call_expected_at)


def test_a_duplicate_is_stored_as_a_row_of_its_own() -> None:
    mine = request(held_for=None)
    decision = decide(mine, snapshot(stored()), config())
    assert decision.admitted is not None
    assert (decision.admitted.callback, decision.admitted.again_of) == (mine.callback, None)


@pytest.mark.parametrize(
    ("one", "due_at"),
    [
        ({"status": Status.QUEUED, "due_at": NOW + MINUTE}, NOW),  # a retry's wait
        ({"status": Status.QUEUED, "due_at": NOW - SECOND}, None),
        ({"status": Status.QUEUED, "due_at": NOW}, None),
        ({"status": Status.UNKNOWN, "due_at": NOW + MINUTE}, None),  # a resend: the phone may be ringing
        ({"status": Status.UNKNOWN}, None),
        ({"status": Status.SENDING}, None),
        ({"status": Status.PLACED}, None),
    ],
    ids=["retry", "due", "due now", "resend", "unknown", "sending", "placed"],
)
def test_a_merge_makes_due_now_what_only_a_retrys_wait_holds(one: dict[str, Any], due_at: datetime | None) -> None:
    original, mine = stored(**one), request()
    found = snapshot(original)
    decision = decide(mine, found, config())
    assert decision.merge == Merge(original.id, mine.callback.give_up_at, due_at)
    assert original.due_at == (due_at or one.get("due_at")), "the next request of the batch sees it"


def test_different_times_are_different_wishes() -> None:
    """A call kept for this afternoon does not swallow the one that its owner wants now."""
    found, rules = snapshot(), config()
    some = [request(planned_time=LATER), request(), request(planned_time=LATER + 2 * MINUTE)]
    assert [result(decide(one, found, rules)) for one in some] == ["queued"] * 3
    assert [result(decide(one, found, rules)) for one in some] == ["duplicate"] * 3
