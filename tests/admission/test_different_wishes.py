"""Two requests are one call only if they ask for the same call at nearly the same time."""

from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.admission.world import (
    NOW,
    OPEN,
    Shop,
    World,
    created_at,
    moscow,
    office,
    world,
)
from tests.running import phone

SUNDAY_NIGHT, MONDAY_9, MONDAY_14 = moscow(22, 22), moscow(23, 9), moscow(23, 14)
DEPARTMENTS = {"sales": {"name": "Sales"}, "service": {"name": "Service"}}
WIDE_CAP = {"per_phone": "1000/hour"}


def promise(answer: httpx2.Response) -> datetime | None:
    assert answer.status_code == 202, answer.text
    time = answer.json()["call_expected_at"]
    return None if time is None else datetime.fromisoformat(time)


@pytest.mark.parametrize("same_address", [True, False], ids=["the visitor at home", "a stranger"])
@pytest.mark.parametrize(
    "now",
    [moscow(22, 23), MONDAY_9, moscow(23, 10), moscow(23, 13, 58), moscow(23, 14, 2), moscow(23, 17)],
    ids=["still at night", "at the opening", "in the morning", "just before", "just after", "in the afternoon"],
)
def test_a_call_planned_for_later_is_no_reason_not_to_call_now(
    migrated_url: str, now: datetime, same_address: bool
) -> None:
    number = phone()
    with world(migrated_url, {"shop": office()}, now=SUNDAY_NIGHT) as here:
        address = here.new_address()
        here.accepted(number, address, planned_time=MONDAY_14.isoformat())
        here.at(now)
        answer = here.ask(number, address if same_address else None)
        own = max(now, MONDAY_9)
        assert promise(answer) == own
        here.later(seconds=4)
        assert here.shown(answer.json()["id"])["status"] == "placed"
        assert here.rings(number) == sorted([own, MONDAY_14])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(MONDAY_14, moscow(23, 14, 30), id="half an hour apart"),
        pytest.param(MONDAY_14, moscow(23, 11), id="the later one first"),
        pytest.param(MONDAY_14, moscow(24, 14), id="the same hour of the next day"),
        pytest.param(MONDAY_14, moscow(23, 14, 1, 1), id="more than the window later"),
        pytest.param(MONDAY_14, moscow(23, 13, 58, 59), id="more than the window earlier"),
    ],
)
def test_calls_planned_for_different_times_are_different_calls(
    migrated_url: str, first: datetime, second: datetime
) -> None:
    number = phone()
    with world(migrated_url, {"shop": office()}, now=SUNDAY_NIGHT) as here:
        for planned in (first, second):
            assert promise(here.ask(number, planned_time=planned.isoformat())) == planned
        assert here.rings(number) == sorted([first, second])


@pytest.mark.parametrize("window", [60, 1, 600], ids=["60 s", "1 s", "10 min"])
@pytest.mark.parametrize("sign", [1, -1], ids=["later", "earlier"])
def test_the_duplicate_window_is_exact_in_both_directions(migrated_url: str, window: int, sign: int) -> None:
    with world(migrated_url, duplicate_window=f"{window}s") as here:
        for beyond in (timedelta(0), timedelta(seconds=1)):
            number = phone()
            planned = here.clock.now + timedelta(hours=1)
            here.accepted(number, planned_time=planned.isoformat())
            own = planned + sign * (timedelta(seconds=window) + beyond)
            assert promise(here.ask(number, planned_time=own.isoformat())) == own
            assert here.rings(number) == (sorted([planned, own]) if beyond else [planned])


@pytest.mark.parametrize(
    ("planned", "asked"),
    [
        pytest.param(MONDAY_14, moscow(23, 13, 59, 10), id="a call planned in less than a minute"),
        pytest.param(MONDAY_14, moscow(23, 14, 0, 50), id="a planned call that has just rung"),
        pytest.param(MONDAY_9, moscow(22, 23), id="planned for the hour from which calls of the night are made"),
        pytest.param(None, moscow(23, 8, 59, 59), id="twice in one night"),
        pytest.param(None, moscow(23, 9, 0, 30), id="a call of the night, and the opening"),
    ],
)
def test_wishes_for_nearly_the_same_time_are_one_call(
    migrated_url: str, planned: datetime | None, asked: datetime
) -> None:
    number = phone()
    with world(migrated_url, {"shop": office()}, now=SUNDAY_NIGHT) as here:
        here.accepted(number, **({"planned_time": planned.isoformat()} if planned else {}))
        here.at(asked)
        assert promise(here.ask(number)) == max(asked, MONDAY_9)
        assert here.rings(number) == [planned or MONDAY_9]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({}, {"department": "sales"}, id="a department"),
        pytest.param({"department": "sales"}, {"department": "service"}, id="another department"),
        pytest.param({}, {"site": "other"}, id="another site"),
        pytest.param({}, {"manager_phone": "74950000001"}, id="another manager"),
        pytest.param({"manager_phone": "74950000001"}, {"manager_phone": "74950000002"}, id="two managers"),
        pytest.param({}, {"message_on_ring": "Lead 4711"}, id="a message"),
        pytest.param({"message_on_ring": "Lead 4711"}, {"message_on_ring": "Lead 4712"}, id="two messages"),
    ],
)
def test_a_different_wish_is_a_call_of_its_own(
    migrated_url: str, first: dict[str, str], second: dict[str, str]
) -> None:
    number = phone()
    shop = Shop(settings={"departments": DEPARTMENTS})
    with world(migrated_url, {"shop": shop, "other": OPEN}) as here:
        for wish in (first, second):
            answer = here.order(number, **wish)
            assert (answer.status_code, answer.json()["duplicate"]) == (202, False)
        assert here.rings(number) == [NOW, NOW]
        assert not here.order(number, site="other", message_on_ring="Third").json()["duplicate"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"client_phone": "8 ({1}{2}{3}) {4}{5}{6}-{7}{8}-{9}{10}"}, id="another notation"),
        pytest.param({"active_page": "https://shop.example/cart", "referrer": "https://search.example/"}, id="a page"),
        pytest.param({"consent": True}, id="consent"),
        pytest.param({"planned_time": None}, id="null"),
        pytest.param({"request_id": "another-key"}, id="another request key"),
    ],
)
def test_a_wish_that_differs_in_nothing_that_is_heard_is_one_call(migrated_url: str, other: dict[str, Any]) -> None:
    number = phone()
    fields = {name: value.format(*number) if isinstance(value, str) else value for name, value in other.items()}
    settings = {"manager_phone": "+7 495 000-00-01", "message_on_ring": "From the site"}
    with world(migrated_url, {"shop": Shop(settings=settings)}) as here:
        here.accepted(number, request_id="first-key")
        here.later(seconds=30)
        here.accepted(**({"number": number} | {("number" if k == "client_phone" else k): v for k, v in fields.items()}))
        # With an API key that names no manager the one of the settings doesn't make it another wish.
        assert here.order(number, client_ip="198.51.100.7").json()["duplicate"] is True
        assert here.rings(number) == [NOW]


def test_an_api_key_is_told_of_the_original_and_a_visitor_never(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        address = here.new_address()
        first = here.ask(number, address)
        here.later(seconds=20)
        again = here.ask(number, address)
        assert again.json().keys() == first.json().keys()
        assert again.headers.keys() == first.headers.keys()
        assert (first.json()["duplicate"], again.json()["duplicate"]) == (False, False)
        assert again.json()["id"] != first.json()["id"]
        assert created_at(again.json()["id"]) == here.clock.now
        assert promise(again) == here.clock.now
        service = here.order(number).json()
        assert (service["id"], service["duplicate"]) == (first.json()["id"], True)
        assert service["created_at"] == first.json()["created_at"]
        stored = here.stored(again.json()["id"])
        assert (stored["status"], stored["duplicate_of"]) == ("duplicate", first.json()["id"])


def test_a_duplicate_covers_no_further_request(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, quotas=WIDE_CAP) as here:
        ids = []
        for _ in range(9):
            ids.append(here.accepted(number))
            here.later(seconds=25)
        # Each call covers the requests of the 60 s after it, and no request that came later.
        assert here.rings(number) == [NOW, NOW + timedelta(seconds=75), NOW + timedelta(seconds=150)]
        originals = [here.stored(one)["duplicate_of"] for one in ids]
        assert originals == [None, ids[0], ids[0], None, ids[3], ids[3], None, ids[6], ids[6]]


def _failed(here: World, number: str) -> None:
    here.far_side.fault("status", status=404)
    here.accepted(number)
    here.settle()


def _cancelled(here: World, number: str) -> None:
    here.not_sent(1)
    callback_id = here.accepted(number)
    here.settle()
    assert here.act(callback_id, "cancel").status_code == 200


def _held(here: World, number: str) -> None:
    here.accepted(number, website="x")


@pytest.mark.parametrize("prepare", [_failed, _cancelled, _held], ids=["failed", "cancelled", "held"])
def test_what_never_rings_covers_no_request(migrated_url: str, prepare: Any) -> None:
    number = phone()
    with world(migrated_url) as here:
        prepare(here, number)
        assert here.rings(number) == []
        here.later(seconds=10)
        callback_id = here.accepted(number)
        assert here.rings(number) == [NOW + timedelta(seconds=10)]
        assert here.stored(callback_id)["status"] == "placed"


def test_a_call_that_may_have_rung_covers_a_request(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, on_unknown="hold") as here:
        here.far_side.fault("reset_after")
        first = here.accepted(number)
        here.settle()
        here.later(seconds=30)
        assert here.stored(here.accepted(number))["duplicate_of"] == first
        here.later(seconds=31)
        here.accepted(number)
        assert here.rings(number) == [NOW, NOW + timedelta(seconds=61)]


@pytest.mark.parametrize("minutes", [0.1, 5, 60], ids=["6 s", "5 minutes", "an hour"])
def test_a_request_makes_due_what_only_waits_for_a_retry(migrated_url: str, minutes: float) -> None:
    number = phone()
    with world(migrated_url) as here:
        here.not_sent()
        first = here.accepted(number)
        here.later(minutes=minutes)
        here.settle()
        here.far_side.clear_faults()
        assert datetime.fromisoformat(here.stored(first)["due_at"]) > here.clock.now
        assert here.stored(here.accepted(number))["duplicate_of"] == first
        assert here.rings(number) == [here.clock.now]


def test_a_request_extends_the_deadline_of_the_callback_that_covers_it(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, give_up_after="1h") as here:
        here.not_sent()
        first = here.accepted(number)
        here.later(minutes=50)
        here.accepted(number)
        here.later(minutes=30)
        here.settle()
        assert here.stored(first)["status"] == "queued"
        here.far_side.clear_faults()
        here.later(minutes=10)
        assert here.rings(number) == [here.clock.now]


@pytest.mark.parametrize(("seconds", "leads"), [(60, 1), (61, 2)])
def test_leads_are_compared_by_when_they_were_sent(migrated_url: str, seconds: int, leads: int) -> None:
    number = phone()
    shop = Shop(9, 18, range(5), settings={"nwt_action": "create_leed"})
    with world(migrated_url, {"shop": shop}, now=SUNDAY_NIGHT) as here:
        here.accepted(number)
        here.later(seconds=seconds)
        here.accepted(number)
        assert len(here.calls(number)) == leads
        assert here.rings(number) == []


def test_the_hour_that_a_service_names_makes_another_wish(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": office(9)}, now=SUNDAY_NIGHT) as here:
        here.accepted(number)
        assert here.order(number, call_stack_start_hour=9).json()["duplicate"] is True
        assert here.order(number, call_stack_start_hour=11).json()["duplicate"] is False
        assert here.order(number, nwt_action="create_leed").json()["duplicate"] is False
        assert here.rings(number) == [MONDAY_9, moscow(23, 11)]


@pytest.mark.parametrize("zone", ["+00:00", "+05:00", "-08:00"])
def test_the_same_instant_in_another_zone_is_the_same_time(migrated_url: str, zone: str) -> None:
    number = phone()
    hours = timedelta(hours=int(zone[:3]))
    with world(migrated_url) as here:
        planned = NOW + timedelta(hours=2)
        here.accepted(number, planned_time=planned.isoformat())
        here.accepted(number, planned_time=(planned + hours).replace(tzinfo=None).isoformat() + zone)
        assert here.rings(number) == [planned]
