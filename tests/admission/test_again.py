"""`again`: a visitor whose phone did not ring is called once more, within the caps, and nobody else is."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.admission.world import NOW, OPEN, Shop, World, assert_capped, assert_refused, moscow, office, world
from tests.running import phone

NEARLY_A_MINUTE = 59  # seconds; within the duplicate window


def again(here: World, number: str, named: str, **fields: Any) -> str:
    return here.accepted(number, again=named, **fields)


@pytest.mark.parametrize("seconds", [20, 30, 45, NEARLY_A_MINUTE])
@pytest.mark.parametrize("same_address", [True, False], ids=["at home", "on another network"])
def test_a_visitor_who_was_not_called_is_called_again(migrated_url: str, seconds: int, same_address: bool) -> None:
    number = phone()
    with world(migrated_url) as here:
        address = here.new_address()
        first = here.accepted(number, address)
        here.later(seconds=seconds)
        answer = here.ask(number, address if same_address else None, again=first)
        assert answer.status_code == 202
        assert datetime.fromisoformat(answer.json()["call_expected_at"]) == here.clock.now
        assert here.rings(number) == [NOW, NOW + timedelta(seconds=seconds)]
        stored = here.stored(answer.json()["id"])
        assert (stored["status"], stored["again_of"], stored["duplicate_of"]) == ("placed", first, None)


def _too_early(here: World, number: str) -> str:
    first = here.accepted(number)
    here.later(seconds=19.9)
    return first


def _unknown(here: World, number: str) -> str:
    here.accepted(number)
    here.later(seconds=30)
    return str(uuid4())


def _a_strangers(here: World, number: str) -> str:
    here.accepted(number)
    other = here.accepted(phone())
    here.later(seconds=30)
    return other


def _another_sites(here: World, number: str) -> str:
    here.accepted(number)
    other = here.accepted(number, site="other")
    here.later(seconds=30)
    return other


def _used_before(here: World, number: str) -> str:
    first = here.accepted(number)
    here.later(seconds=25)
    again(here, number, first)
    here.later(seconds=25)
    return first


def _erased_or_old(here: World, number: str) -> str:
    old = here.accepted(phone())
    here.later(days=2)
    here.accepted(number)
    here.later(seconds=30)
    return old


def _planned_for_later(here: World, number: str) -> str:
    planned = here.accepted(number, planned_time=(here.clock.now + timedelta(seconds=70)).isoformat())
    here.later(seconds=40)  # 30 s before it rings
    return planned


def _a_request_key(here: World, number: str) -> str:
    here.accepted(number, request_id="mine")
    here.later(seconds=30)
    return "mine"


@pytest.mark.parametrize(
    "prepare",
    [
        _too_early,
        _unknown,
        _a_strangers,
        _another_sites,
        _used_before,
        _erased_or_old,
        _planned_for_later,
        _a_request_key,
    ],
)
def test_any_other_id_is_ignored_with_the_same_answer(migrated_url: str, prepare: Any) -> None:
    number = phone()
    with world(migrated_url, {"shop": OPEN, "other": OPEN}) as here:
        named = prepare(here, number)
        here.settle()
        before = here.rings(number)
        ignored = here.ask(number, again=named)
        fresh = here.ask(phone())
        for answer in (ignored, fresh):
            assert answer.status_code == 202
        without_id = {name: value for name, value in ignored.json().items() if name != "id"}
        assert without_id == {name: value for name, value in fresh.json().items() if name != "id"}
        assert here.rings(number) == before
        assert here.stored(ignored.json()["id"])["status"] == "duplicate"


@pytest.mark.parametrize("named", ["", None], ids=["empty", "null"])
def test_without_an_id_it_is_an_ordinary_request(migrated_url: str, named: str | None) -> None:
    number = phone()
    with world(migrated_url) as here:
        here.accepted(number)
        here.later(seconds=30)
        here.accepted(number, again=named)
        assert here.rings(number) == [NOW]


def test_a_chain_rings_each_time_until_the_cap(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        named, chain = here.accepted(number), []
        for _ in range(2):
            here.later(seconds=25)
            named = again(here, number, named)
            chain.append(named)
        assert here.rings(number) == [NOW, NOW + timedelta(seconds=25), NOW + timedelta(seconds=50)]
        here.later(seconds=25)
        assert_refused(here.ask(number, again=named), "quota_phone")
        assert_capped(here.rings(number))


def test_an_earlier_link_of_the_chain_is_used(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, quotas={"per_phone": "100/hour"}) as here:
        first = here.accepted(number)
        here.later(seconds=25)
        second = again(here, number, first)
        here.later(seconds=25)
        for _ in range(5):
            again(here, number, first)
        assert len(here.rings(number)) == 2
        again(here, number, second)
        assert len(here.rings(number)) == 3
        again(here, number, second)
        assert len(here.rings(number)) == 3


def test_of_two_visitors_each_is_called_again_once(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, quotas={"per_phone": "100/hour"}) as here:
        here.accepted(number)
        duplicate = here.accepted(number)
        here.later(seconds=30)
        third = here.accepted(number)
        # The one whose request was merged says that it did not ring: neither it nor its original covers the new one.
        again(here, number, duplicate)
        assert len(here.rings(number)) == 2
        again(here, number, duplicate)
        assert len(here.rings(number)) == 2
        here.later(seconds=20)
        again(here, number, third)
        assert len(here.rings(number)) == 2  # the call of the other one covers it


@pytest.mark.parametrize("kind", ["retry", "resend"])
def test_what_is_still_to_be_sent_is_made_due_and_no_second_call_rings(migrated_url: str, kind: str) -> None:
    number = phone()
    with world(migrated_url, retry_schedule="10m", resend_after="10m", give_up_after="1h") as here:
        if kind == "retry":
            here.not_sent(1)
        else:
            here.far_side.fault("reset_after")
        first = here.accepted(number)
        here.settle()
        here.later(seconds=25)
        executed = len(here.calls(number))
        assert executed == (1 if kind == "resend" else 0)
        assert datetime.fromisoformat(here.stored(first)["due_at"]) > here.clock.now
        answer = here.ask(number, again=first)
        assert answer.status_code == 202
        assert datetime.fromisoformat(answer.json()["call_expected_at"]) == here.clock.now
        here.settle()
        assert here.stored(first)["status"] == "placed"
        assert here.stored(answer.json()["id"])["duplicate_of"] == first
        here.later(minutes=30)
        assert len(here.calls(number)) == executed + 1


def test_a_merged_request_whose_original_waits_makes_it_due(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, retry_schedule="10m") as here:
        here.not_sent(2)
        first = here.accepted(number)
        here.settle()
        duplicate = here.accepted(number)
        here.later(seconds=25)
        again(here, number, duplicate)
        here.settle()
        assert here.stored(first)["status"] == "placed"
        here.later(minutes=30)
        assert here.rings(number) == [NOW + timedelta(seconds=25)]


@pytest.mark.parametrize("quota", ["1/hour", "1/day"])
def test_a_phone_whose_cap_is_used_up_rings_no_more(migrated_url: str, quota: str) -> None:
    number = phone()
    with world(migrated_url, quotas={"per_phone": quota}) as here:
        first = here.accepted(number)
        here.later(seconds=30)
        assert_refused(here.ask(number, again=first), "quota_phone")
        assert here.rings(number) == [NOW]


@pytest.mark.parametrize(
    ("quotas", "code"),
    [({"per_address": "2/hour"}, "quota_client"), ({"per_site": "1/hour"}, None)],
    ids=["the address", "the site's budget: held"],
)
def test_the_limits_apply_to_it(migrated_url: str, quotas: dict[str, str], code: str | None) -> None:
    number = phone()
    with world(migrated_url, quotas=quotas) as here:
        address = here.new_address()
        first = here.accepted(number, address)
        here.accepted(phone(), address)
        here.later(seconds=30)
        answer = here.ask(number, address, again=first)
        if code:
            assert_refused(answer, code)
        else:
            assert here.stored(answer.json()["id"])["held_for"] == "site_budget"
        assert here.rings(number) == [NOW]


def test_a_honeypot_holds_it(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        first = here.accepted(number)
        here.later(seconds=30)
        held = again(here, number, first, website="x")
        assert here.stored(held)["status"] == "held"
        assert here.rings(number) == [NOW]


def test_a_planned_call_that_did_not_ring_can_be_asked_for_again(migrated_url: str) -> None:
    number = phone()
    planned = NOW + timedelta(hours=2)
    with world(migrated_url) as here:
        first = here.accepted(number, planned_time=planned.isoformat())
        here.at(planned + timedelta(seconds=30))
        again(here, number, first)
        assert here.rings(number) == [planned, planned + timedelta(seconds=30)]


def test_a_call_of_the_night_can_be_asked_for_again_in_the_morning(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": office(9)}, now=moscow(22, 22)) as here:
        first = here.accepted(number)
        here.later(hours=3)
        again(here, number, first)  # at night it is too early: it is to ring at 9:00
        assert here.rings(number) == [moscow(23, 9)]
        here.at(moscow(23, 9, 0, 30))
        again(here, number, first)
        assert here.rings(number) == [moscow(23, 9), moscow(23, 9, 0, 30)]


def test_it_keeps_to_its_department(migrated_url: str) -> None:
    number = phone()
    shop = Shop(settings={"departments": {"sales": {"name": "Sales"}}})
    with world(migrated_url, {"shop": shop}) as here:
        first = here.accepted(number, department="sales")
        here.later(seconds=30)
        again(here, number, first, department="sales")
        assert [call["params"]["message_on_ring"] for call in here.calls(number)] == ["Sales", "Sales"]


def test_a_replay_of_it_rings_nobody(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        first = here.accepted(number)
        here.later(seconds=30)
        answers = [here.ask(number, again=first, request_id="retry-1") for _ in range(3)]
        assert {answer.json()["id"] for answer in answers} == {answers[0].json()["id"]}
        assert len(here.rings(number)) == 2


def test_a_service_may_say_it_too(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        first = here.order(number).json()["id"]
        here.later(seconds=30)
        assert here.order(number).json()["duplicate"] is True
        answer = here.order(number, again=first).json()
        assert answer["duplicate"] is False
        assert len(here.rings(number)) == 2


def test_a_failed_call_can_be_asked_for_again(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        here.far_side.fault("status", status=404)
        first = here.accepted(number)
        here.later(seconds=30)
        again(here, number, first)
        assert here.rings(number) == [NOW + timedelta(seconds=30)]
