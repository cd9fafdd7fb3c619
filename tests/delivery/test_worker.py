"""The worker against a simulated Chaser that fails, on a clock that the test sets."""

from datetime import timedelta
from typing import Any

import pytest

from tests.delivery.conftest import Attempts
from tests.running import AUTHORIZED, Chaser, Clock, Service, phone, until


def test_a_200_is_placed_whatever_its_body(here: Service, far_side: Chaser, attempts: Attempts) -> None:
    far_side.fault("cut_body", times=1)
    callback_id = here.accepted()
    here.wait_for(callback_id, "placed")
    assert attempts(callback_id) == [("placed", 200)]
    assert len(far_side.calls()) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_call_that_chaser_rejects_is_failed_at_once(
    here: Service, far_side: Chaser, attempts: Attempts, status: int
) -> None:
    far_side.fault("status", status=status, execute=False, times=1)
    callback_id = here.accepted()
    here.wait_for(callback_id, "failed")
    assert attempts(callback_id) == [("refused", status)]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "status", "status": 429, "execute": False}, 429),
        ({"kind": "status", "status": 503, "execute": False, "headers": {"Retry-After": "3"}}, 503),
    ],
)
def test_a_call_that_was_not_executed_is_sent_again_after_its_delay(
    here: Service, far_side: Chaser, attempts: Attempts, clock: Clock, fault: dict[str, Any], status: int
) -> None:
    far_side.fault(**fault, times=1)
    callback_id = here.accepted()
    until(lambda: attempts(callback_id) == [("not_sent", status)])
    assert here.status(callback_id) == "queued"
    clock.advance(seconds=6.1)
    here.wait_for(callback_id, "placed")
    assert len(far_side.calls()) == 1


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "close_after", "garbage"])
def test_a_call_without_a_response_is_unknown_and_sent_once_more_after_a_minute(
    here: Service, far_side: Chaser, attempts: Attempts, clock: Clock, kind: str
) -> None:
    far_side.fault(kind, times=1, path="/v1/call")
    callback_id = here.accepted()
    here.wait_for(callback_id, "unknown")
    clock.advance(seconds=59)
    here.accepted()  # the worker has looked at the queue after this
    until(lambda: here.http.get("/readyz", headers=AUTHORIZED).json()["waiting"] == 1)
    assert attempts(callback_id) == [("unknown", None)]
    clock.advance(seconds=2)
    here.wait_for(callback_id, "placed")
    assert attempts(callback_id) == [("unknown", None), ("placed", 200)]


@pytest.mark.parametrize("here", [{"on_unknown": "hold"}, {"sites": {"shop": {"on_unknown": "hold"}}}], indirect=True)
def test_under_hold_an_unknown_callback_waits_for_an_operator(
    here: Service, far_side: Chaser, attempts: Attempts, clock: Clock
) -> None:
    far_side.fault("reset_after", times=1, path="/v1/call")
    callback_id = here.accepted()
    here.wait_for(callback_id, "unknown")
    clock.advance(hours=1)
    here.wait_for(here.accepted(), "placed")
    assert here.status(callback_id) == "unknown"
    assert attempts(callback_id) == [("unknown", None)]


@pytest.mark.parametrize("here", [{"chaser": {"timeout": "1s"}}], indirect=True)
def test_a_call_that_hangs_is_unknown_after_the_timeout(here: Service, far_side: Chaser, attempts: Attempts) -> None:
    far_side.fault("hang_after", times=1, path="/v1/call")
    callback_id = here.accepted()
    here.wait_for(callback_id, "unknown")
    assert attempts(callback_id) == [("unknown", None)]


def test_a_callback_that_could_not_be_sent_for_two_hours_is_failed_and_kept(
    here: Service, far_side: Chaser, attempts: Attempts, clock: Clock
) -> None:
    far_side.fault("refuse", times=None)
    callback_id = here.accepted()
    until(lambda: attempts(callback_id) == [("not_sent", None)])
    clock.advance(hours=2)
    here.wait_for(callback_id, "failed")
    far_side.clear_faults()
    assert far_side.calls() == []


def test_a_planned_time_goes_to_chaser_unless_it_has_passed(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts
) -> None:
    planned = clock() + timedelta(minutes=5)
    here.wait_for(here.accepted(planned_time=planned.isoformat()), "placed")
    far_side.fault("refuse", times=None)
    late = here.accepted(planned_time=planned.isoformat())
    until(lambda: attempts(late) == [("not_sent", None)])
    clock.advance(minutes=6)
    far_side.clear_faults()
    here.wait_for(late, "placed")
    in_time, too_late = far_side.calls()
    assert in_time["params"]["planned_time"] == str(int(planned.timestamp()))
    assert "planned_time" not in too_late["params"]


def test_a_planned_time_that_passes_on_the_way_to_chaser_is_not_sent(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts
) -> None:
    planned = clock() + timedelta(minutes=5)
    far_side.fault("refuse", times=None)
    callback_id = here.accepted(planned_time=planned.isoformat())
    until(lambda: attempts(callback_id) == [("not_sent", None)])
    clock.advance(minutes=4, seconds=50)
    far_side.clear_faults()
    here.wait_for(callback_id, "placed")
    (call,) = far_side.calls()
    assert "planned_time" not in call["params"]


@pytest.mark.parametrize("here", [{"calls_per_second": 1000}], indirect=True)
def test_many_simultaneous_callbacks_are_each_called_once(here: Service, far_side: Chaser) -> None:
    numbers = [phone() for _ in range(60)]
    callback_ids = [here.accepted(client_phone=number) for number in numbers]
    for callback_id in callback_ids:
        here.wait_for(callback_id, "placed")
    assert sorted(call["client_phone"] for call in far_side.calls()) == sorted(numbers)
