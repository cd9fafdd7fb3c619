"""Metrics of delivery: latency until Chaser accepted a callback, and expired callbacks; the test sets the clock."""

from datetime import timedelta

from tests.running import AUTHORIZED, Chaser, Clock, Service, phone, until
from tests.scraping import Samples, scrape

LATENCY = "chaser_callback_delivery_latency_seconds"
FAILS_ONCE = {"kind": "status", "status": 503, "headers": {"Retry-After": "5"}}


def latency(here: Service) -> tuple[float, float]:
    samples = scrape(here)
    return samples[f'{LATENCY}_count{{site="shop"}}'], samples[f'{LATENCY}_sum{{site="shop"}}']


def attempts(samples: Samples) -> int:
    name = "chaser_callback_attempts_total"
    return sum(samples[f"{name}{labels}"] for labels in samples.labels(name))


def accepted_and_failed_once(here: Service, far_side: Chaser, **fields: str) -> str:
    """Accept a callback whose first attempt fails, and return its id while it waits for the second."""
    far_side.fault(**FAILS_ONCE)
    callback = here.accepted(**fields)
    until(lambda: attempts(scrape(here)) == 1)
    return callback


def test_latency_is_measured_from_the_acceptance(here: Service, far_side: Chaser, clock: Clock) -> None:
    callback = accepted_and_failed_once(here, far_side)
    assert latency(here) == (0, 0)
    clock.advance(seconds=90)
    here.wait_for(callback, "placed")
    until(lambda: latency(here) == (1, 90))
    samples = scrape(here)
    assert samples[f'{LATENCY}_bucket{{le="60.0",site="shop"}}'] == 0
    assert samples[f'{LATENCY}_bucket{{le="120.0",site="shop"}}'] == 1
    assert samples['chaser_callback_placed_total{site="shop"}'] == 1


def test_latency_of_a_planned_callback_is_measured_from_the_acceptance_because_chaser_accepts_it_at_once(
    here: Service, far_side: Chaser, clock: Clock
) -> None:
    callback = accepted_and_failed_once(here, far_side, planned_time=(clock.now + timedelta(days=1)).isoformat())
    clock.advance(seconds=90)
    here.wait_for(callback, "placed")
    until(lambda: latency(here) == (1, 90))


def test_latency_of_a_held_callback_is_measured_from_its_release(here: Service, clock: Clock) -> None:
    callback = here.accepted(website="filled in")
    clock.advance(hours=5)
    assert here.http.post(f"/v1/callbacks/{callback}/release", headers=AUTHORIZED).status_code == 200
    here.wait_for(callback, "placed")
    until(lambda: latency(here) == (1, 0))


def test_a_callback_past_its_deadline_is_counted_as_expired(here: Service, far_side: Chaser, clock: Clock) -> None:
    callback = accepted_and_failed_once(here, far_side, client_phone=phone())
    clock.advance(hours=3)
    here.wait_for(callback, "failed")
    until(lambda: scrape(here)["chaser_callback_expired_total"] == 1)
    assert latency(here) == (0, 0)
