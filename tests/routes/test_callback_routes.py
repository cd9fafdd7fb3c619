"""POST /v1/callbacks and GET /v1/callbacks/{id}: responses, idempotency and deduplication."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tests.routes.refusal import assert_cors, assert_protected, assert_refused
from tests.running import (
    AT_ONCE,
    AUTHORIZED,
    ORIGIN,
    Chaser,
    Clock,
    Service,
    chaser,
    client,
    phone,
    service,
    settings,
    until,
)

ReadRow = Callable[[httpx2.Response], dict[str, Any]]
TIMES = ("created_at", "call_expected_at")


def test_an_accepted_request_has_an_id_a_status_and_an_expected_time(here: Service) -> None:
    before = datetime.now(UTC)
    answer = here.ask(client_phone=phone())
    assert answer.status_code == 202
    body = answer.json()
    assert body.keys() == {"id", "status", "created_at", "call_expected_at", "duplicate"}
    assert (body["status"], body["duplicate"]) == ("queued", False)
    created_at = datetime.fromisoformat(body["created_at"])
    assert before <= created_at <= datetime.now(UTC)
    assert body["created_at"].endswith("Z")
    assert body["call_expected_at"] == body["created_at"]  # the site is always open


def test_an_accepted_response_is_readable_by_the_page_and_not_cached(here: Service) -> None:
    answer = here.ask(client_phone=phone())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "idempotency-replayed" not in answer.headers
    UUID(answer.headers["x-request-id"])
    assert_cors(answer)
    assert_protected(answer)


def test_an_id_is_a_uuid_7_of_the_creation_time(here: Service) -> None:
    answer = here.ask(client_phone=phone()).json()
    number = UUID(answer["id"])
    assert number.version == 7
    milliseconds = datetime.fromisoformat(answer["created_at"]).timestamp() * 1000
    assert abs((number.int >> 80) - milliseconds) <= 1


def test_a_callback_is_stored_before_the_response_is_sent(here: Service, stored: ReadRow) -> None:
    number = phone()
    answer = here.ask(client_phone=number)
    row = stored(answer)
    assert row["client_phone"] == number
    assert row["site"] == "shop"
    assert (row["account"], row["chaser_site_id"]) == ("4711", 12345)


def test_the_status_is_shown_to_a_client_that_knows_the_id(here: Service) -> None:
    accepted = here.ask(client_phone=phone()).json()
    until(lambda: here.public_status(accepted["id"]) == "placed")
    answer = here.http.get(f"/v1/callbacks/{accepted['id']}", headers={"origin": ORIGIN})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "id": accepted["id"],
        "status": "placed",
        "call_expected_at": accepted["call_expected_at"],
    }
    assert_cors(answer)
    assert_protected(answer)


def test_a_phone_may_be_a_json_number(here: Service, stored: ReadRow) -> None:
    number = phone()
    assert stored(here.ask(client_phone=int(number)))["client_phone"] == number


def test_a_request_repeated_with_its_key_is_replayed(here: Service) -> None:
    fields = {"client_phone": phone(), "request_id": "5f2b6c1e"}
    first, again = here.ask(**fields), here.ask(**fields)
    assert "idempotency-replayed" not in first.headers
    assert again.status_code == 202
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()


def test_the_key_header_may_have_quotes(here: Service) -> None:
    number, key = phone(), "8e03978e-40d5-43dd-bc93-6894a57f9324"
    first = here.ask({"origin": ORIGIN, "idempotency-key": key}, client_phone=number)
    for same in (key, f'"{key}"'):
        again = here.ask({"origin": ORIGIN, "idempotency-key": same}, client_phone=number)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()


def test_the_same_key_may_be_in_header_and_body(here: Service) -> None:
    number, key = phone(), "both-ways"
    headers = {"origin": ORIGIN, "idempotency-key": key}
    first = here.ask(headers, client_phone=number, request_id=key)
    again = here.ask(client_phone=number, request_id=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()


def test_a_service_that_uses_its_key_for_another_request_is_refused(here: Service) -> None:
    number = phone()
    assert here.ask(AUTHORIZED, client_phone=number, request_id="used").status_code == 202
    assert_refused(here.ask(AUTHORIZED, client_phone=phone(), request_id="used"), 422, "request_id_reused")
    other_fields = here.ask(AUTHORIZED, client_phone=number, request_id="used", referrer="https://search.example/")
    assert_refused(other_fields, 422, "request_id_reused")


def test_a_visitor_learns_nothing_from_a_key_that_another_visitor_used(here: Service) -> None:
    """Without a secret, a key is no identity: with other fields it is another request, and another callback."""
    number = phone()
    first = here.ask(client_phone=number, request_id="guessed")
    for fields in ({"client_phone": phone()}, {"client_phone": number, "referrer": "https://search.example/"}):
        another, repeated = (here.ask(request_id="guessed", **fields) for _ in range(2))
        assert another.status_code == 202
        assert another.json()["id"] != first.json()["id"]
        assert "idempotency-replayed" not in another.headers
        assert repeated.json() == another.json()
        assert repeated.headers["idempotency-replayed"] == "true"


def test_keys_of_different_sites_and_services_do_not_collide(here: Service) -> None:
    fields = {"request_id": "the-same-key"}
    ids = {
        here.ask(client_phone=phone(), **fields).json()["id"],
        here.ask(client_phone=phone(), site="terms", **fields).json()["id"],
        here.ask(AUTHORIZED, client_phone=phone(), **fields).json()["id"],
    }
    assert len(ids) == 3


def test_a_replay_after_delivery_has_the_first_response(here: Service) -> None:
    fields = {"client_phone": phone(), "request_id": "late"}
    first = here.ask(**fields).json()
    here.wait_for(first["id"], "placed")
    assert here.ask(**fields).json() == first


def test_a_refused_request_does_not_use_up_its_key(here: Service) -> None:
    assert here.ask(client_phone="112", request_id="spared").status_code == 422
    assert here.ask(client_phone=phone(), request_id="spared").status_code == 202


def test_the_same_phone_twice_is_one_call(here: Service, far_side: Chaser) -> None:
    number = phone()
    first = here.ask(client_phone=number).json()
    second = here.ask(client_phone=f"8 ({number[1:4]}) {number[4:7]}-{number[7:9]}-{number[9:]}").json()
    assert second["id"] != first["id"]
    assert here.shown(second["id"]).items() >= {"status": "duplicate", "duplicate_of": first["id"]}.items()
    here.wait_for(first["id"], "placed")
    here.wait_for(here.accepted(), "placed")  # the worker has looked at the queue after this
    assert len(far_side.calls(client_phone=number)) == 1


def test_a_visitor_is_answered_alike_whether_the_phone_is_new_or_not(here: Service) -> None:
    number = phone()
    new, known = (here.ask(client_phone=number).json() for _ in range(2))
    assert new.items() - known.items() == {("id", new["id"]), *((name, new[name]) for name in TIMES)}
    assert known["call_expected_at"] == known["created_at"] != new["created_at"]
    assert known["duplicate"] is False


def test_a_service_is_told_which_callback_covers_its_request(here: Service) -> None:
    number = phone()
    first = here.ask(client_phone=number).json()
    here.wait_for(first["id"], "placed")
    second = here.ask(AUTHORIZED, client_phone=number).json()
    assert second == first | {"status": "placed", "duplicate": True}
    third = here.ask(AUTHORIZED, client_phone=number).json()
    assert third == second, "the original, not another duplicate"


def test_the_same_phone_on_two_sites_is_two_callbacks(here: Service) -> None:
    number = phone()
    first, second = here.ask(client_phone=number).json(), here.ask(client_phone=number, site="terms").json()
    assert not second["duplicate"]
    assert second["id"] != first["id"]


@pytest.mark.parametrize("headers", [{"origin": ORIGIN}, AUTHORIZED], ids=["visitor", "service"])
def test_a_duplicate_under_a_key_is_replayed_as_it_was_answered(here: Service, headers: dict[str, str]) -> None:
    number = phone()
    here.ask(client_phone=number)
    first = here.ask(headers, client_phone=number, request_id="twice")
    again = here.ask(headers, client_phone=number, request_id="twice")
    assert first.json()["duplicate"] == (headers is AUTHORIZED)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()


def test_after_delivery_and_the_duplicate_window_the_same_phone_is_a_new_callback(tmp_path: Path) -> None:
    clock = Clock()
    with (
        chaser() as far_side,
        service(settings(tmp_path, far_side.api_url, duplicate_window="2m"), clock=clock) as here,
    ):
        number = phone()
        first = here.ask(client_phone=number).json()
        here.wait_for(first["id"], "placed")
        clock.advance(minutes=2)
        assert here.shown(here.accepted(client_phone=number))["duplicate_of"] == first["id"]
        clock.advance(seconds=1)
        here.wait_for(here.accepted(client_phone=number), "placed")
        assert len(far_side.calls(client_phone=number)) == 2


def test_requests_repeated_during_an_outage_of_chaser_are_called_once_after_it(tmp_path: Path) -> None:
    clock = Clock()
    with (
        chaser() as far_side,
        service(settings(tmp_path, far_side.api_url), clock=clock, poll_interval=AT_ONCE) as here,
    ):
        far_side.fault("refuse", times=None)
        number = phone()
        first = here.accepted(client_phone=number)
        for tries in range(1, 4):
            until(lambda tries=tries: (len(here.shown(first)["attempts"]), here.status(first)) == (tries, "queued"))
            clock.advance(minutes=30)
            assert here.shown(here.accepted(client_phone=number))["duplicate_of"] == first
        far_side.clear_faults()
        clock.advance(minutes=31)  # without the repetitions the first request would have expired by now
        here.wait_for(first, "placed")
        assert [call["client_phone"] for call in far_side.calls()] == [number]


def test_concurrent_requests_with_one_key_are_one_callback(here: Service) -> None:
    """Two clicks, or a browser that retries a request it believes lost."""
    number = phone()

    def ask(_: int) -> httpx2.Response:
        with client(here.url) as http:
            return Service(here.url, http).ask(client_phone=number, request_id=f"key-{number}")

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1


def test_a_planned_call_is_expected_at_its_time(here: Service) -> None:
    planned = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    answer = here.ask(client_phone=phone(), planned_time=planned.isoformat())
    assert datetime.fromisoformat(answer.json()["call_expected_at"]) == planned


@pytest.mark.parametrize("ahead", [timedelta(seconds=30), timedelta(days=6, hours=23)])
def test_a_time_within_7_days_can_be_planned(here: Service, ahead: timedelta) -> None:
    planned = datetime.now(UTC) + ahead
    assert here.ask(client_phone=phone(), planned_time=planned.isoformat()).status_code == 202


def test_a_time_beyond_7_days_cannot_be_planned(here: Service) -> None:
    planned = datetime.now(UTC) + timedelta(days=7, minutes=1)
    answer = here.ask(client_phone=phone(), planned_time=planned.isoformat())
    assert_refused(answer, 422, "invalid", {"planned_time": "planned_time_too_far"})


def test_a_time_may_be_planned_in_unix_seconds(here: Service, stored: ReadRow) -> None:
    seconds = int(time.time()) + 3600
    assert stored(here.ask(client_phone=phone(), planned_time=seconds))["planned_time"] == seconds * 1_000_000
