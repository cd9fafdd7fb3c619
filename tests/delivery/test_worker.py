"""The worker against a Chaser that misbehaves; time is a clock that the test sets."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.running import Chaser, Clock, Service, chaser, phone, service, settings, until

Start = Callable[..., Service]


@pytest.fixture(scope="module")
def far_side_of_module() -> Iterator[Chaser]:
    with chaser() as far_side:
        yield far_side


@pytest.fixture
def far_side(far_side_of_module: Chaser) -> Iterator[Chaser]:
    assert far_side_of_module.http.post("reset", json={}).is_success
    yield far_side_of_module
    far_side_of_module.well_again()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path, far_side: Chaser, clock: Clock) -> Iterator[Service]:
    overrides: dict[str, Any] = getattr(request, "param", {})
    with service(settings(tmp_path, far_side.api_url, **overrides), clock=clock) as running:
        yield running


def attempts(folder: Path, callback_id: str) -> list[tuple[str, int | None]]:
    with sqlite3.connect(folder / "callbacks.db") as database:
        found = database.execute(
            "SELECT outcome, http_status FROM attempts WHERE callback_id = ? ORDER BY number", [callback_id]
        ).fetchall()
    database.close()
    return found


def test_a_200_is_delivered_whatever_its_body(here: Service, far_side: Chaser, tmp_path: Path) -> None:
    far_side.fault("cut_body", times=1)
    wish = here.accepted()
    here.wait_for(wish, "delivered")
    assert attempts(tmp_path, wish) == [("delivered", 200)]
    assert len(far_side.calls()) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_what_chaser_will_never_do_is_failed_at_once(
    here: Service, far_side: Chaser, tmp_path: Path, status: int
) -> None:
    far_side.fault("status", status=status, execute=False, times=1)
    wish = here.accepted()
    here.wait_for(wish, "failed")
    assert attempts(tmp_path, wish) == [("refused", status)]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "status", "status": 429, "execute": False}, 429),
        ({"kind": "status", "status": 503, "execute": False, "headers": {"Retry-After": "3"}}, 503),
    ],
)
def test_what_was_not_executed_is_sent_again_after_its_wait(
    here: Service, far_side: Chaser, tmp_path: Path, clock: Clock, fault: dict[str, Any], status: int
) -> None:
    far_side.fault(**fault, times=1)
    wish = here.accepted()
    until(lambda: attempts(tmp_path, wish) == [("not_sent", status)])
    assert here.status(wish) == "queued"
    clock.advance(seconds=6.1)
    here.wait_for(wish, "delivered")
    assert len(far_side.calls()) == 1


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "close_after", "garbage"])
def test_a_lost_answer_is_unknown_and_sent_once_more_after_a_minute(
    here: Service, far_side: Chaser, tmp_path: Path, clock: Clock, kind: str
) -> None:
    far_side.fault(kind, times=1, path="/v1/call")
    wish = here.accepted()
    here.wait_for(wish, "unknown")
    clock.advance(seconds=59)
    here.accepted()  # the worker has looked at the queue after this
    until(lambda: here.http.get("/readyz").json()["waiting"] == 1)
    assert attempts(tmp_path, wish) == [("unknown", None)]
    clock.advance(seconds=2)
    here.wait_for(wish, "delivered")
    assert attempts(tmp_path, wish) == [("unknown", None), ("delivered", 200)]


@pytest.mark.parametrize("here", [{"on_unknown": "hold"}, {"sites": {"shop": {"on_unknown": "hold"}}}], indirect=True)
def test_under_hold_an_unknown_one_waits_for_a_person(
    here: Service, far_side: Chaser, tmp_path: Path, clock: Clock
) -> None:
    far_side.fault("reset_after", times=1, path="/v1/call")
    wish = here.accepted()
    here.wait_for(wish, "unknown")
    clock.advance(hours=1)
    here.wait_for(here.accepted(), "delivered")
    assert here.status(wish) == "unknown"
    assert attempts(tmp_path, wish) == [("unknown", None)]


@pytest.mark.parametrize("here", [{"chaser": {"timeout": "1s"}}], indirect=True)
def test_a_hang_ends_at_the_deadline_as_unknown(here: Service, far_side: Chaser, tmp_path: Path) -> None:
    far_side.fault("hang_after", times=1, path="/v1/call")
    wish = here.accepted()
    here.wait_for(wish, "unknown")
    assert attempts(tmp_path, wish) == [("unknown", None)]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_account_pauses_and_resumes_by_itself(
    here: Service, far_side: Chaser, tmp_path: Path, clock: Clock, status: int
) -> None:
    far_side.fault("status", status=status, times=None)
    first = here.accepted()
    until(lambda: here.http.get("/readyz").json()["accounts"] == {"4711": "paused"})
    second = here.accepted()
    for _ in range(3):
        clock.advance(seconds=61)
        arrived = len(far_side.requests())
        until(lambda arrived=arrived: len(far_side.requests()) > arrived)
    assert (here.status(first), here.status(second)) == ("queued", "queued")
    assert attempts(tmp_path, second) == [], "nobody's attempts are burned by a wrong account"
    assert {request["path"] for request in far_side.requests()[1:]} == {"/v1/websites"}
    far_side.well_again()
    clock.advance(seconds=61)
    here.wait_for(first, "delivered")
    here.wait_for(second, "delivered")
    assert len(far_side.calls()) == 2
    assert here.http.get("/readyz").json()["accounts"] == {"4711": "ok"}


def test_what_could_not_be_sent_for_two_hours_is_failed_and_still_there(
    here: Service, far_side: Chaser, tmp_path: Path, clock: Clock
) -> None:
    far_side.fault("refuse", times=None)
    wish = here.accepted()
    until(lambda: attempts(tmp_path, wish) == [("not_sent", None)])
    clock.advance(hours=2)
    here.wait_for(wish, "failed")
    far_side.well_again()
    assert far_side.calls() == []


def test_a_planned_time_goes_to_chaser_unless_it_has_passed(here: Service, far_side: Chaser, clock: Clock) -> None:
    planned = clock() + timedelta(minutes=5)
    here.wait_for(here.accepted(planned_time=planned.isoformat()), "delivered")
    far_side.fault("refuse", times=None)
    late = here.accepted(planned_time=planned.isoformat())
    clock.advance(minutes=6)
    far_side.well_again()
    here.wait_for(late, "delivered")
    in_time, too_late = far_side.calls()
    assert in_time["params"]["planned_time"] == str(int(planned.timestamp()))
    assert "planned_time" not in too_late["params"]


def test_many_at_once_are_each_called_once(here: Service, far_side: Chaser) -> None:
    numbers = [phone() for _ in range(60)]
    wishes = [here.accepted(client_phone=number) for number in numbers]
    for wish in wishes:
        here.wait_for(wish, "delivered")
    assert sorted(call["client_phone"] for call in far_side.calls()) == sorted(numbers)


def test_a_call_under_way_is_finished_before_the_service_stops(tmp_path: Path, far_side: Chaser) -> None:
    chosen = settings(tmp_path, far_side.api_url)
    far_side.fault("slow", times=1, seconds=1.5)
    with service(chosen) as here:
        wish = here.accepted()
        until(lambda: len(far_side.requests()) == 1)
    assert attempts(tmp_path, wish) == [("delivered", 200)]


def test_a_call_that_outlasts_the_shutdown_is_unknown_and_not_forgotten(tmp_path: Path, far_side: Chaser) -> None:
    far_side.fault("hang_after", times=1)
    with service(settings(tmp_path, far_side.api_url, chaser={"timeout": "60s"})) as here:
        wish = here.accepted()
        until(lambda: len(far_side.requests()) == 1)
    assert attempts(tmp_path, wish) == [("unknown", None)]
    with service(settings(tmp_path, far_side.api_url)) as here:
        assert here.status(wish) == "unknown"
        assert here.http.get("/readyz").json()["waiting"] == 1, "it will be sent once more"
