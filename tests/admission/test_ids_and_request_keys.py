"""Only the holder of an id or of a request key is told about a callback, and for seven days."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from tests.admission.world import DAY, Shop, assert_refused, comparable, created_at, world
from tests.running import phone, until

PEOPLE_BEHIND = ["203.0.113.7", "2001:db8:1:1::7"]


@pytest.mark.parametrize("address", PEOPLE_BEHIND)
@pytest.mark.parametrize("seconds", [0, 1, 30, 60])
def test_somebody_behind_the_same_address_is_a_stranger(migrated_url: str, address: str, seconds: int) -> None:
    number = phone()
    with world(migrated_url) as here:
        first = here.ask(number, address)
        here.settle()
        here.later(seconds=seconds)
        second, other = here.ask(number, address), here.ask(phone(), address)
        assert comparable(second) == comparable(other)
        assert second.json()["id"] != first.json()["id"]
        assert created_at(second.json()["id"]) == here.clock.now
        assert second.json()["duplicate"] is False
        assert "idempotency-replayed" not in second.headers
        assert second.json()["call_expected_at"] == second.json()["created_at"]
        assert len(here.rings(number)) == 1


def test_only_the_holder_of_a_request_key_is_told(migrated_url: str) -> None:
    number, key = phone(), "a-key-that-a-browser-made"
    with world(migrated_url) as here:
        address = here.new_address()
        first = here.ask(number, address, request_id=key)
        here.later(minutes=10)
        replayed = here.ask(number, request_id=key)  # from another network
        assert replayed.json() == first.json()
        assert replayed.headers["idempotency-replayed"] == "true"
        without = here.ask(number, address)
        assert without.json()["id"] != first.json()["id"]


@pytest.mark.parametrize(
    "fields",
    [{"client_phone": "other"}, {"department": "sales"}, {"active_page": "https://shop.example/x"}, {"again": "id"}],
    ids=lambda fields: next(iter(fields)),
)
def test_a_visitors_key_with_another_request_is_another_request(migrated_url: str, fields: Mapping[str, str]) -> None:
    number, key = phone(), "order-1"
    shop = Shop(settings={"departments": {"sales": {"name": "Sales"}}})
    with world(migrated_url, {"shop": shop}) as here:
        first = here.ask(number, request_id=key)
        changed: dict[str, str] = dict(fields)
        asked = (changed.pop("client_phone", None) and phone()) or number
        if "again" in changed:
            changed["again"] = first.json()["id"]
        other = here.ask(asked, request_id=key, **changed)
        unused = here.ask(phone(), request_id="order-2", **changed)
        assert comparable(other) == comparable(unused)
        assert other.json()["id"] != first.json()["id"]
        # Both go on to be answered to whoever holds the key and sends the same request.
        for number_again, answer, more in ((number, first, {}), (asked, other, changed)):
            replayed = here.ask(number_again, request_id=key, **more)
            assert (replayed.json(), replayed.headers["idempotency-replayed"]) == (answer.json(), "true")


def test_a_service_is_told_that_it_used_a_key_for_another_request(migrated_url: str) -> None:
    with world(migrated_url) as here:
        assert here.order(phone(), request_id="order-1").status_code == 202
        assert_refused(here.order(phone(), request_id="order-1"), "request_id_reused", 422)


@pytest.mark.parametrize("kind", ["placed", "held", "duplicate", "planned", "failed"])
def test_every_id_is_unknown_after_seven_days(migrated_url: str, kind: str) -> None:
    number = phone()
    with world(migrated_url) as here:
        if kind == "failed":
            here.far_side.fault("status", status=404)
        fields = {"website": "x"} if kind == "held" else {}
        if kind == "planned":
            fields = {"planned_time": (here.clock.now + 7 * DAY).isoformat()}
        callback_id = here.accepted(number, **fields)
        if kind == "duplicate":
            callback_id = here.accepted(number)
        start = here.clock.now
        here.at(start + 7 * DAY - timedelta(seconds=1))
        shown = here.shown(callback_id)
        assert shown["id"] == callback_id
        here.at(start + 7 * DAY + timedelta(seconds=1))
        gone = here.http.get(f"/v1/callbacks/{callback_id}")
        never = here.http.get("/v1/callbacks/01937b5e-0000-7000-8000-000000000000")
        assert_refused(gone, "not_found", 404)
        assert comparable(gone) == comparable(never)
        if kind != "duplicate":
            assert here.stored(callback_id)["id"] == callback_id


def test_an_erased_callback_is_unknown(migrated_url: str) -> None:
    with world(migrated_url, keep_personal_data="1d") as here:
        callback_id = here.accepted(phone())
        here.later(hours=23)
        assert here.shown(callback_id)["status"] == "placed"
        here.later(hours=3)
        until(lambda: here.stored(callback_id)["client_phone"] is None)
        assert_refused(here.http.get(f"/v1/callbacks/{callback_id}"), "not_found", 404)
