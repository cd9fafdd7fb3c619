"""The promised time follows from the site's hours alone: no stranger moves it, and Chaser has the call before it."""

from datetime import datetime, timedelta

import pytest

from tests.admission.world import MOSCOW, NOW, OPEN, Shop, World, moscow, office, world
from tests.running import ORIGIN, phone

SUNDAY_NIGHT, MONDAY_9 = moscow(22, 22), moscow(23, 9)
URAL = Shop(9, 18, range(5), "Asia/Yekaterinburg", settings={"nwt_action": "always_call"})
UNDECIDED = Shop(9, 18, range(5))
LEADS = Shop(9, 18, range(5), settings={"nwt_action": "create_leed"})


def parsed(time: str | None) -> datetime | None:
    return None if time is None else datetime.fromisoformat(time)


def promise(here: World, number: str, address: str | None = None, **fields: str) -> datetime | None:
    answer = here.ask(number, address, **fields)
    assert answer.status_code == 202, answer.text
    return parsed(answer.json()["call_expected_at"])


def shown_by_site(here: World, site: str = "shop") -> datetime | None:
    answer = here.http.get(f"/v1/sites/{site}", headers={"origin": ORIGIN})
    assert answer.status_code == 200, answer.text
    return parsed(answer.json()["call_expected_at"])


@pytest.mark.parametrize("shop", [office(9), office(9, call_stack_interval=5), office(None)], ids=repr)
def test_strangers_who_ask_for_one_number_move_nobodys_promise(migrated_url: str, shop: Shop) -> None:
    number = phone()
    with world(migrated_url, {"shop": shop}, now=SUNDAY_NIGHT) as here:
        first = here.accepted(number)
        for _ in range(120):
            assert promise(here, number) == MONDAY_9
            here.clock.advance(seconds=61)
        assert promise(here, phone()) == MONDAY_9
        assert shown_by_site(here) == MONDAY_9
        assert parsed(here.shown(first)["call_expected_at"]) == MONDAY_9
        here.at(moscow(23, 11))
        assert promise(here, number) == here.clock.now
        assert here.rings(number) == [MONDAY_9, moscow(23, 11)]


@pytest.mark.parametrize("interval", [0, 1, 30, 60])
def test_other_peoples_calls_of_the_night_move_nobodys_promise(migrated_url: str, interval: int) -> None:
    with world(migrated_url, {"shop": office(10, call_stack_interval=interval)}, now=SUNDAY_NIGHT) as here:
        for _ in range(40):
            assert promise(here, phone()) == moscow(23, 10)
        assert shown_by_site(here) == moscow(23, 10)


@pytest.mark.parametrize("prepare", ["held", "failed", "planned", "of a service", "cancelled"])
def test_no_other_request_moves_a_promise(migrated_url: str, prepare: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": office(9)}, now=SUNDAY_NIGHT, quotas={"per_phone": "1000/day"}) as here:
        for _ in range(10):
            match prepare:
                case "held":
                    here.accepted(number, website="x")
                case "failed":
                    here.far_side.fault("status", status=404)
                    here.accepted(number)
                case "planned":
                    here.accepted(phone(), planned_time=MONDAY_9.isoformat())
                case "of a service":
                    assert here.order(phone(), manager_phone="74950000001").status_code == 202
                case "cancelled":
                    here.not_sent(1)
                    waiting = here.accepted(number)
                    here.settle()
                    assert here.act(waiting, "cancel").status_code == 200
            here.later(minutes=2)
        assert promise(here, number) == promise(here, phone()) == shown_by_site(here) == MONDAY_9


PROMISES = [
    pytest.param(OPEN, NOW, None, NOW, id="open"),
    pytest.param(office(9), moscow(20, 18), None, MONDAY_9, id="Friday at closing: Monday"),
    pytest.param(office(9), moscow(21, 3), None, MONDAY_9, id="Saturday night: Monday"),
    pytest.param(office(9), moscow(23, 7), None, MONDAY_9, id="early in the morning: the same day"),
    pytest.param(office(9), moscow(23, 8, 59, 59), None, MONDAY_9, id="a second before the opening"),
    pytest.param(office(9), MONDAY_9, None, MONDAY_9, id="at the opening: at once"),
    pytest.param(office(9), moscow(23, 17, 58), None, moscow(23, 17, 58), id="two minutes before closing"),
    pytest.param(office(9), moscow(23, 17, 59, 30), None, None, id="the last minute before closing: unknown"),
    pytest.param(office(12), moscow(23, 7), None, moscow(23, 12), id="a start hour later than the opening"),
    pytest.param(office(8), moscow(23, 7), None, moscow(23, 8), id="a start hour before the opening"),
    pytest.param(office(8), moscow(23, 8, 30), None, MONDAY_9, id="that hour has passed: the opening"),
    pytest.param(office(None), SUNDAY_NIGHT, None, MONDAY_9, id="no start hour: the opening"),
    pytest.param(office(24), SUNDAY_NIGHT, None, moscow(24, 0), id="hour 24: the midnight after the opening"),
    pytest.param(office(0), SUNDAY_NIGHT, None, moscow(23, 0), id="hour 0: the midnight before it"),
    pytest.param(office(9, call_stack_interval=60), SUNDAY_NIGHT, None, MONDAY_9, id="an interval: from 9:00"),
    pytest.param(office(9, (0, 3)), moscow(23, 19), None, moscow(26, 9), id="closed for two days"),
    pytest.param(URAL, SUNDAY_NIGHT, None, moscow(23, 7), id="another time zone"),
    pytest.param(URAL, moscow(23, 16, 30), None, moscow(24, 7), id="closed there, open in Moscow"),
    pytest.param(LEADS, SUNDAY_NIGHT, None, None, id="a lead"),
    pytest.param(UNDECIDED, SUNDAY_NIGHT, None, None, id="Chaser's own settings decide"),
    pytest.param(Shop(hours_known=False), NOW, None, None, id="hours unknown"),
    pytest.param(office(9), NOW, moscow(23, 15), moscow(23, 15), id="planned"),
    pytest.param(office(9), SUNDAY_NIGHT, moscow(24, 15), moscow(24, 15), id="planned at night"),
    pytest.param(LEADS, SUNDAY_NIGHT, moscow(24, 15), moscow(24, 15), id="planned with leads"),
    pytest.param(office(9), NOW, moscow(24, 17, 59, 30), None, id="planned for the last minute before closing"),
]


@pytest.mark.parametrize(("shop", "now", "planned", "expected"), PROMISES)
def test_the_promise_is_the_earliest_moment_at_which_the_phone_can_ring(
    migrated_url: str, shop: Shop, now: datetime, planned: datetime | None, expected: datetime | None
) -> None:
    number = phone()
    with world(migrated_url, {"shop": shop}, now=now) as here:
        if planned is None:
            assert shown_by_site(here) == expected
        fields = {} if planned is None else {"planned_time": planned.isoformat()}
        answer = here.ask(number, **fields)
        assert answer.status_code == 202, answer.text
        assert parsed(answer.json()["call_expected_at"]) == expected
        (call,) = here.calls(number)
        assert parsed(call["received_at"]) == now  # Chaser has it before the promised time
        if expected is not None:
            assert parsed(call["ring_at"]) == expected
        here.later(seconds=10)
        assert parsed(here.shown(answer.json()["id"])["call_expected_at"]) == expected
        assert parsed(here.stored(answer.json()["id"])["call_expected_at"]) == expected


@pytest.mark.parametrize("hours", range(0, 24, 3))
def test_calls_of_the_night_are_from_the_same_hour_whenever_they_were_asked_for(migrated_url: str, hours: int) -> None:
    start = moscow(20, 19)
    with world(migrated_url, {"shop": office(9)}, now=start) as here:
        for days in (0, 1):
            here.at(start + timedelta(days=days, hours=hours))
            number = phone()
            assert promise(here, number) == MONDAY_9
            assert here.rings(number) == [MONDAY_9]


def test_the_promise_keeps_its_hour_when_the_clocks_change(migrated_url: str) -> None:
    berlin = Shop(9, 18, range(7), "Europe/Berlin", settings={"nwt_action": "always_call", "call_stack_start_hour": 9})
    saturday_night = datetime(2026, 10, 24, 22, tzinfo=MOSCOW)  # Berlin leaves summer time that night
    with world(migrated_url, {"shop": berlin}, now=saturday_night) as here:
        number = phone()
        expected = datetime.fromisoformat("2026-10-25T09:00:00+01:00")
        assert promise(here, number) == expected
        assert here.rings(number) == [expected]


def test_a_callback_sent_after_closing_is_promised_for_no_earlier_time_than_it_rings(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": office(9)}, now=moscow(23, 17), give_up_after="2d") as here:
        here.not_sent()
        first = here.accepted(number)
        here.at(moscow(23, 18, 30))
        here.settle()
        here.far_side.clear_faults()
        here.later(minutes=30)
        assert here.rings(number) == [moscow(24, 9)]
        assert parsed(here.stored(first)["rings_at"]) == moscow(24, 9)
