"""The cap of a phone: how often it may ring in any window, over all sites, counted when it rings."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.admission.decide import decide
from app.admission.phone_cap import MOST_PLANNED
from app.outbox.callback import ACTIVE_STATUSES, Status
from app.outbox.phone_callbacks import PhoneCallback
from app.outbox.rings import Ring
from tests.admission.deciding import (
    API_KEY,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    OTHER_PHONE,
    SECOND,
    config,
    refused,
    request,
    result,
    results,
    ring_at,
    snapshot,
    stored,
)

THREE = config(per_phone="3/hour;5/day")
RINGS = NOW + 6 * DAY


def rang(*times: datetime, **changes: Any) -> list[PhoneCallback]:
    """Return placed callbacks of the phone, one for each time, each of another site."""
    return [stored(Status.PLACED, created_at=at, site=f"other-{number}", **changes) for number, at in enumerate(times)]


def minutes(*ages: float) -> list[datetime]:
    return [NOW - age * MINUTE for age in ages]


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ((50, 40), "queued"),
        ((50, 40, 30), "quota_phone"),
        ((60, 40, 30), "queued"),
        ((59.9, 40, 30), "quota_phone"),
        ((600, 500, 400, 300), "queued"),
        ((600, 500, 400, 300, 200), "quota_phone"),
        ((24 * 60, 500, 400, 300, 200), "queued"),
    ],
)
def test_a_phone_rings_no_more_often_than_its_cap_in_any_window(ages: tuple[float, ...], expected: str) -> None:
    assert result(decide(request(), snapshot(*rang(*minutes(*ages))), THREE)) == expected


def test_the_wait_is_always_an_hour() -> None:
    """An exact one would show when others asked for the number."""
    found = snapshot(*rang(*minutes(600, 500, 400, 59, 0.5)))
    for rules in (THREE, config(per_phone="1/minute"), config(per_phone="5/day")):
        refusal = refused(decide(request(), found, rules))
        assert (refusal.code, refusal.status, refusal.retry_after) == ("quota_phone", 429, 3600)


@pytest.mark.parametrize(
    ("after", "expected"), [(-59, "quota_phone"), (0, "quota_phone"), (59, "quota_phone"), (60, "queued")]
)
def test_the_cap_holds_before_and_after_calls_that_are_planned(after: float, expected: str) -> None:
    found = snapshot(*rang(RINGS, RINGS, RINGS))
    assert result(decide(request(planned_time=RINGS + after * MINUTE), found, THREE)) == expected
    found, at_once = snapshot(*rang(RINGS, RINGS, RINGS)), request(created_at=RINGS + after * MINUTE)
    assert result(decide(at_once, found, THREE)) == expected, "it would ring at once"


def test_rings_on_both_sides_count_together_only_if_one_window_contains_them() -> None:
    around = [RINGS + after * MINUTE for after in (-50, -40, 40)]
    assert result(decide(request(planned_time=RINGS), snapshot(*rang(*around)), THREE)) == "queued"
    found = snapshot(*rang(*around, RINGS))
    assert result(decide(request(planned_time=RINGS), found, THREE)) == "quota_phone"


def test_the_request_of_another_day_counts_at_the_hour_at_which_it_rings() -> None:
    planned = [stored(site=f"s-{day}", created_at=NOW - day * DAY, planned_time=RINGS, due_at=NOW) for day in range(3)]
    assert result(decide(request(planned_time=RINGS, api_key=API_KEY), snapshot(*planned), THREE)) == "quota_phone"
    assert result(decide(request(), snapshot(*planned), THREE)) == "queued"


def test_calls_that_wait_for_the_same_opening_ring_together() -> None:
    """A weekend of requests for one number was a morning of calls."""
    morning = NOW + 40 * HOUR
    rules = config(per_phone="3/hour;5/day", ring_time=ring_at(morning))
    asked = [NOW - hours * HOUR for hours in (5, 10, 20)]
    found = snapshot(*(stored(site=f"s-{number}", created_at=at) for number, at in enumerate(asked)))
    assert result(decide(request(rings_at=morning), found, rules)) == "quota_phone"
    assert result(decide(request(rings_at=morning + HOUR), found, rules)) == "queued"


@pytest.mark.parametrize(
    ("until", "expected"),
    [(-HOUR, "queued"), (-HOUR + SECOND, "quota_phone"), (HOUR, "quota_phone"), (9 * HOUR, "quota_phone")],
)
def test_an_uncertain_ring_counts_in_every_window_that_it_touches(until: timedelta, expected: str) -> None:
    uncertain = stored(Status.PLACED, site="blog", rang=[Ring(NOW - 9 * HOUR, NOW + until, certain=False)])
    assert result(decide(request(), snapshot(uncertain), config(per_phone="1/hour"))) == expected


@pytest.mark.parametrize(("at", "expected"), [(9 * HOUR, "quota_phone"), (10 * HOUR, "queued")])
def test_a_request_whose_ring_is_uncertain_counts_in_every_window_that_it_touches(at: timedelta, expected: str) -> None:
    mine = request(rings_until=NOW + 9 * HOUR, call_expected_at=None)
    assert mine.callback.ring == Ring(NOW, NOW + 9 * HOUR, certain=False)
    found = snapshot(stored(Status.PLACED, site="blog", rings_at=NOW + at))
    assert result(decide(mine, found, config(per_phone="1/hour"))) == expected


@pytest.mark.parametrize("status", [*ACTIVE_STATUSES, Status.FAILED, Status.CANCELLED])
def test_every_attempt_that_rang_or_may_have_rung_counts_whatever_became_of_the_callback(status: Status) -> None:
    several = [Ring(at, at) for at in minutes(40, 30, 20)]
    found = snapshot(stored(status, site="blog", rang=several, due_at=None))
    assert result(decide(request(), found, THREE)) == "quota_phone"


def test_a_resend_that_is_due_counts_besides_the_attempt_before_it() -> None:
    unknown = stored(Status.UNKNOWN, site="blog", due_at=NOW + MINUTE)
    assert result(decide(request(), snapshot(unknown), config(per_phone="2/hour"))) == "quota_phone"
    unknown.due_at = None
    assert result(decide(request(), snapshot(unknown), config(per_phone="2/hour"))) == "queued"


@pytest.mark.parametrize("age", [MINUTE, 9 * HOUR, 9 * DAY])
def test_what_still_waits_counts_as_if_it_was_sent_now(age: timedelta) -> None:
    """The time it was accepted for is past: the site's account was paused, perhaps."""
    found = snapshot(stored(site="blog", created_at=NOW - age))
    assert result(decide(request(), found, config(per_phone="1/hour"))) == "quota_phone"


@pytest.mark.parametrize("status", [Status.HELD, Status.FAILED, Status.CANCELLED, Status.DUPLICATE])
def test_what_never_rang_and_will_not_ring_does_not_count(status: Status) -> None:
    found = snapshot(stored(status, site="blog"))
    assert result(decide(request(), found, config(per_phone="1/hour"))) == "queued"


def test_the_cap_counts_over_all_sites_departments_and_senders() -> None:
    rules = config(per_phone="4/hour")
    some = [
        request(site="shop"),
        request(site="blog"),
        request(site="blog", department="sales"),
        request(site="blog", department="sales", api_key=API_KEY, message_on_ring="Order 17", message_given=True),
        request(site="shop", department="sales"),
        request(site="shop", client_phone=OTHER_PHONE),
    ]
    assert results(some, snapshot(), rules) == ["queued"] * 4 + ["quota_phone", "queued"]


def test_duplicates_do_not_count() -> None:
    rules = config(per_phone="2/hour")
    some = [*[request() for _ in range(9)], request(site="blog"), request(site="other")]
    assert results(some, snapshot(), rules) == ["queued"] + ["duplicate"] * 8 + ["queued", "quota_phone"]


def planned(number: int, **changes: Any) -> PhoneCallback:
    """Return a call that a visitor planned, of its own day and site."""
    at = NOW + (number + 1) * DAY
    return stored(**{"planned_time": at, "due_at": NOW, "site": f"s-{number}"} | changes)


def test_at_most_three_calls_of_a_phone_that_visitors_planned_may_wait() -> None:
    """Otherwise strangers could plan a week of calls."""
    assert MOST_PLANNED == 3
    three = [planned(number) for number in range(3)]
    fourth = {"planned_time": NOW + 5 * DAY}
    refusal = refused(decide(request(**fourth), snapshot(*three), config()))
    assert (refusal.code, refusal.retry_after) == ("quota_phone", 3600)
    assert result(decide(request(**fourth), snapshot(*three[:2]), config())) == "queued"
    assert result(decide(request(**fourth, api_key=API_KEY), snapshot(*three), config())) == "queued"
    assert result(decide(request(), snapshot(*three), config())) == "queued"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": Status.PLACED}, "quota_phone"),  # at Chaser, which makes the call at its time
        ({"status": Status.SENDING}, "quota_phone"),
        ({"status": Status.UNKNOWN}, "quota_phone"),
        ({"status": Status.HELD}, "queued"),
        ({"status": Status.FAILED}, "queued"),
        ({"status": Status.CANCELLED}, "queued"),
        ({"status": Status.DUPLICATE, "duplicate_of": "other"}, "queued"),
        ({"by_visitor": False}, "queued"),
        ({"planned_time": NOW, "status": Status.PLACED}, "queued"),
        ({"planned_time": NOW + MINUTE, "status": Status.PLACED}, "quota_phone"),
        ({"planned_time": None}, "queued"),
    ],
    ids=str,
)
def test_only_planned_calls_of_visitors_that_still_wait_count(changes: dict[str, Any], expected: str) -> None:
    found = snapshot(planned(1), planned(2), planned(3, **changes))
    assert result(decide(request(planned_time=NOW + 9 * DAY), found, config())) == expected
