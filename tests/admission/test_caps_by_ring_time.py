"""A phone's cap counts the moments at which it rings, over all sites and networks, not the requests for it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.admission.world import (
    NOW,
    OPEN,
    Shop,
    assert_capped,
    assert_refused,
    moscow,
    most_in,
    office,
    world,
)
from tests.running import phone

FRIDAY_NIGHT, SUNDAY_NIGHT, MONDAY_9 = moscow(20, 19), moscow(22, 22), moscow(23, 9)
DEPARTMENTS: dict[str, Any] = {"departments": {name: {"name": name.title()} for name in ("one", "two", "three")}}
ONCE_AN_HOUR = {"per_phone": "1/hour"}


def codes(answers: list[Any]) -> list[tuple[int, str | None]]:
    return [(answer.status_code, answer.json().get("code")) for answer in answers]


def test_a_number_asked_for_from_new_addresses_all_weekend_rings_once_on_monday(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": office()}, now=FRIDAY_NIGHT) as here:
        for _ in range(15):
            assert here.ask(number).status_code == 202
            here.later(hours=3)
        assert here.clock.now < moscow(23, 9) + timedelta(hours=9)
        here.at(SUNDAY_NIGHT)
        assert here.rings(number) == [MONDAY_9]


@pytest.mark.parametrize(
    ("shops", "wishes", "times"),
    [
        pytest.param(
            {name: office(**DEPARTMENTS) for name in ("shop", "b", "c")},
            [{"site": site, "department": name} for site in ("shop", "b", "c") for name in ("one", "two", "three")],
            3,
            id="three departments at each of three sites",
        ),
        pytest.param({f"s{n}": office() for n in range(8)}, [{"site": f"s{n}"} for n in range(8)], 3, id="eight sites"),
        pytest.param(
            {"shop": office(**DEPARTMENTS)},
            [{}, *({"department": name} for name in ("one", "two", "three"))],
            3,
            id="departments of one site",
        ),
        pytest.param(
            {f"s{hour}": office(hour) for hour in range(9, 17)},
            [{"site": f"s{hour}"} for hour in range(9, 17)],
            5,
            id="each site calls from another hour",
        ),
        pytest.param(
            {"shop": office(**DEPARTMENTS), "ural": Shop(9, 18, range(5), "Asia/Yekaterinburg", settings={
                "nwt_action": "always_call", "call_stack_start_hour": 9, **DEPARTMENTS})},
            [{"site": site, "department": name} for site in ("shop", "ural") for name in ("one", "two", "three")],
            5,
            id="two time zones",
        ),
        pytest.param(
            {"shop": office(), "b": office(None), "c": office(9, call_stack_interval=5), "d": office(8)},
            [{"site": site} for site in ("shop", "b", "c", "d")],
            4,
            id="the opening, a start hour, an interval, a start before the opening",
        ),
    ],
)  # fmt: skip
def test_calls_kept_over_the_weekend_ring_within_the_cap(
    migrated_url: str, shops: Mapping[str, Shop], wishes: list[dict[str, str]], times: int
) -> None:
    number = phone()
    with world(migrated_url, shops, now=FRIDAY_NIGHT) as here:
        answers = []
        for wish in wishes:
            answers.append(here.ask(number, **wish))
            here.later(minutes=70)  # so that the requests themselves are within the cap of an hour
        assert codes(answers) == [(202, None)] * times + [(429, "quota_phone")] * (len(wishes) - times)
        for refused in answers[times:]:
            assert_refused(refused, "quota_phone")
        rings = here.rings(number)
        assert len(rings) == times
        assert_capped(rings)


def test_requests_of_the_night_leave_the_next_day_its_own_cap(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": office(**DEPARTMENTS)}, now=moscow(23, 20)) as here:
        for name in ("one", "two", "three"):
            here.accepted(number, department=name)  # each rings on Tuesday at 9:00
        here.at(moscow(24, 9, 59))
        assert_refused(here.ask(number), "quota_phone")
        for hour in (10, 11):
            here.at(moscow(24, hour))
            here.accepted(number)
        here.at(moscow(24, 12))
        assert_refused(here.ask(number), "quota_phone")  # five on this day
        here.at(moscow(25, 9))
        here.accepted(number)
        assert_capped(here.rings(number))


@pytest.mark.parametrize(
    ("minutes", "accepted"),
    [
        pytest.param([0, 10, 20, 59], [True, True, True, False], id="a fourth in the hour"),
        pytest.param([0, 10, 20, 60, 69, 70], [True, True, True, True, False, True], id="the window moves"),
        pytest.param([61 * n for n in range(7)], [True] * 5 + [False] * 2, id="a sixth on the day"),
        pytest.param([0, 300, 600, 900, 1200, 1439, 1440], [True] * 5 + [False, True], id="a day later to the minute"),
        pytest.param([0, 30, 45, 50, 55, 61, 91], [True] * 3 + [False] * 2 + [True] * 2, id="refused ones don't count"),
    ],
)
def test_calls_made_at_once_are_counted_in_each_window(
    migrated_url: str, minutes: list[int], accepted: list[bool]
) -> None:
    number = phone()
    with world(migrated_url) as here:
        answers = []
        for minute in minutes:
            here.at(NOW + timedelta(minutes=minute))
            answers.append(here.ask(number))
        assert [answer.status_code == 202 for answer in answers] == accepted
        assert here.rings(number) == [
            NOW + timedelta(minutes=minute) for minute, was in zip(minutes, accepted, strict=True) if was
        ]
        for answer, was in zip(answers, accepted, strict=True):
            if not was:
                assert_refused(answer, "quota_phone")


@pytest.mark.parametrize(
    ("planned", "asked", "accepted"),
    [
        pytest.param([60, 70, 80], [30], [False], id="the hour before three planned calls"),
        pytest.param([60, 70, 80], [10], [True], id="the third of the planned calls is an hour and more away"),
        pytest.param([60, 70, 80], [10, 21], [True, False], id="a second one before them"),
        pytest.param([60, 70, 80], [119], [False], id="the hour after them"),
        pytest.param([60, 70, 80], [120, 122], [True, False], id="an hour after the first of them"),
        pytest.param([20, 100], [30, 45, 50, 95], [True, True, False, True], id="between two planned calls"),
    ],
)
def test_a_planned_call_counts_at_its_time(
    migrated_url: str, planned: list[int], asked: list[int], accepted: list[bool]
) -> None:
    number = phone()
    with world(migrated_url) as here:
        for minute in planned:
            here.accepted(number, planned_time=(NOW + timedelta(minutes=minute)).isoformat())
        answers = []
        for minute in asked:
            here.at(NOW + timedelta(minutes=minute))
            answers.append(here.ask(number))
        assert [answer.status_code == 202 for answer in answers] == accepted, [answer.text for answer in answers]
        rings = here.rings(number)
        assert len(rings) == len(planned) + sum(accepted)
        assert_capped(rings)


def test_visitors_have_at_most_three_planned_calls_of_a_phone_waiting(migrated_url: str) -> None:
    number = phone()
    days = [(NOW + timedelta(days=day)).isoformat() for day in range(1, 6)]
    with world(migrated_url, {"shop": OPEN, "other": OPEN}) as here:
        here.accepted(number, planned_time=days[0])
        here.accepted(number, planned_time=days[1], site="other")
        here.accepted(number, planned_time=days[2])
        for site in ("shop", "other"):
            assert_refused(here.ask(number, planned_time=days[3], site=site), "quota_phone")
        assert here.order(number, planned_time=days[4]).status_code == 202  # the shop's own plan
        here.accepted(number)
        here.at(NOW + timedelta(days=1, minutes=1))  # one of the three has rung
        here.accepted(number, planned_time=days[3])
        assert_capped(here.rings(number))


def test_services_and_visitors_share_the_cap(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": OPEN, "other": OPEN}) as here:
        here.accepted(number)
        assert here.order(number, manager_phone="74950000001").status_code == 202
        assert here.order(number, site="other").status_code == 202
        assert_refused(here.order(number, message_on_ring="Lead 4"), "quota_phone")
        assert_refused(here.order(number, planned_time=(NOW + timedelta(minutes=50)).isoformat()), "quota_phone")
        here.later(minutes=10)
        assert_refused(here.ask(number), "quota_phone")
        assert len(here.rings(number)) == 3


def test_a_call_at_night_that_a_service_orders_counts_in_the_morning(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": office(9)}, now=moscow(23, 22)) as here:
        here.accepted(number)
        assert here.order(number, manager_phone="74950000001").status_code == 202
        assert here.order(number, manager_phone="74950000002").status_code == 202
        assert_refused(here.order(number, manager_phone="74950000003"), "quota_phone")
        assert here.order(number, call_stack_start_hour=12).status_code == 202
        assert most_in(timedelta(hours=1), here.rings(number)) == 3


def test_a_callback_that_is_retried_counts_once_and_a_failed_one_does_not(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": OPEN, "other": OPEN}, quotas=ONCE_AN_HOUR) as here:
        here.not_sent()
        waiting = here.accepted(number)
        here.settle()
        assert_refused(here.ask(number, site="other"), "quota_phone")  # its retry would ring
        here.far_side.clear_faults()
        here.far_side.fault("status", status=404)
        here.later(minutes=20)
        here.settle()
        assert here.stored(waiting)["status"] == "failed"
        assert here.rings(number) == []
        here.accepted(number, site="other")
        assert len(here.rings(number)) == 1


def test_an_operators_retry_needs_room_like_a_new_request(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": OPEN, "other": OPEN}, quotas=ONCE_AN_HOUR) as here:
        here.far_side.fault("status", status=404)
        failed = here.accepted(number)
        here.settle()
        here.accepted(number, site="other")
        assert here.rings(number) == [NOW]
        refused = here.act(failed, "retry")
        assert refused.status_code in (409, 429), refused.text
        assert here.stored(failed)["status"] == "failed"
        here.later(hours=1)
        assert here.act(failed, "retry").status_code == 200
        assert here.rings(number) == [NOW, NOW + timedelta(hours=1)]


def test_released_callbacks_ring_within_the_cap(migrated_url: str) -> None:
    number = phone()
    shops = dict.fromkeys(("shop", "b", "c", "d", "e"), OPEN)
    with world(migrated_url, shops) as here:
        held = [here.accepted(number, site=site, website="x") for site in shops]
        answers = [here.act(callback_id, "release") for callback_id in held]
        assert [answer.status_code for answer in answers[:3]] == [200] * 3
        assert all(answer.status_code in (409, 429) for answer in answers[3:])
        assert_capped(here.rings(number))
        assert [here.stored(callback_id)["status"] for callback_id in held[3:]] == ["held", "held"]
        here.later(hours=1)
        assert here.act(held[3], "release").status_code == 200
        assert len(here.rings(number)) == 4


def test_a_released_callback_of_the_night_counts_when_it_rings(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": office(), "b": office()}, now=SUNDAY_NIGHT, quotas=ONCE_AN_HOUR) as here:
        held = here.accepted(number, website="x")
        here.accepted(number, site="b")
        here.at(SUNDAY_NIGHT + timedelta(hours=5))
        assert here.act(held, "release").status_code in (409, 429)
        here.at(MONDAY_9 + timedelta(hours=1))
        assert here.act(held, "release").status_code == 200
        assert here.rings(number) == [MONDAY_9, MONDAY_9 + timedelta(hours=1)]


@pytest.mark.parametrize(("cap", "calls", "reason"), [("1/hour", 1, "phone_cap"), ("2/hour", 2, None)])
def test_a_resend_needs_room(migrated_url: str, cap: str, calls: int, reason: str | None) -> None:
    number = phone()
    with world(migrated_url, quotas={"per_phone": cap}) as here:
        here.far_side.fault("reset_after")
        lost = here.accepted(number)
        here.settle()
        assert here.stored(lost)["status"] == "unknown"
        for _ in range(3):
            here.later(seconds=70)
            here.settle()
        assert len(here.calls(number)) == calls
        stored = here.stored(lost)
        assert (stored["status"], stored["reason"]) == ("unknown" if reason else "placed", reason)


@pytest.mark.parametrize("cancelled", [False, True], ids=["unknown", "unknown and then cancelled"])
def test_a_call_that_may_have_rung_counts(migrated_url: str, cancelled: bool) -> None:
    number = phone()
    with world(migrated_url, {"shop": OPEN, "other": OPEN}, quotas=ONCE_AN_HOUR, on_unknown="hold") as here:
        here.far_side.fault("reset_after")
        lost = here.accepted(number)
        here.settle()
        assert here.stored(lost)["status"] == "unknown"
        if cancelled:
            assert here.act(lost, "cancel").status_code == 200
        here.later(minutes=5)
        assert_refused(here.ask(number, site="other"), "quota_phone")
        here.later(minutes=55)
        here.accepted(number, site="other")


def test_a_cancelled_callback_that_was_not_sent_leaves_its_room(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": OPEN, "other": OPEN}, quotas=ONCE_AN_HOUR) as here:
        here.not_sent()
        waiting = here.accepted(number)
        here.settle()
        assert here.act(waiting, "cancel").status_code == 200
        here.far_side.clear_faults()
        here.accepted(number, site="other")
        assert here.rings(number) == [NOW]


@pytest.mark.parametrize("days", [range(5), range(7), (5, 6)], ids=["weekdays", "every day", "weekends"])
def test_a_week_of_requests_rings_within_the_cap(migrated_url: str, days: range) -> None:
    number = phone()
    shops = {"shop": office(9, days), "b": office(10, days), "c": office(None, days, call_stack_interval=0), "d": OPEN}
    with world(migrated_url, shops, now=moscow(20, 16)) as here:
        for step in range(100):
            here.later(minutes=97)
            site = tuple(shops)[step % 4]
            ahead = {} if step % 5 else {"planned_time": (here.clock.now + timedelta(hours=step % 7 + 1)).isoformat()}
            assert here.ask(number, site=site, **ahead).status_code in (202, 422, 429)
        rings = here.rings(number)
        assert_capped(rings)
        assert len(rings) > 20  # no fewer than the caps allow
