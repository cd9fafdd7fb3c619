"""How long it took until Chaser had a callback, and what was given up, as metrics tell it; the test moves the clock."""

from datetime import timedelta

from tests.running import AUTHORIZED, Chaser, Clock, Service, phone, until
from tests.scraping import Told, scrape

WAITED = "chaser_callback_delivery_latency_seconds"
FAILS_ONCE = {"kind": "status", "status": 503, "headers": {"Retry-After": "5"}}


def waited(here: Service) -> tuple[float, float]:
    told = scrape(here)
    return told[f'{WAITED}_count{{site="shop"}}'], told[f'{WAITED}_sum{{site="shop"}}']


def attempts(told: Told) -> int:
    return sum(
        told[f"chaser_callback_attempts_total{labels}"] for labels in told.labels("chaser_callback_attempts_total")
    )


def fails_once(here: Service, far_side: Chaser, **fields: str) -> str:
    """Let a callback be tried, and wait for another attempt."""
    far_side.fault(**FAILS_ONCE)
    callback = here.accepted(**fields)
    until(lambda: attempts(scrape(here)) == 1)
    return callback


def test_the_time_runs_from_the_acceptance(here: Service, far_side: Chaser, clock: Clock) -> None:
    callback = fails_once(here, far_side)
    assert waited(here) == (0, 0)
    clock.advance(seconds=90)
    here.wait_for(callback, "placed")
    until(lambda: waited(here) == (1, 90))
    told = scrape(here)
    assert told[f'{WAITED}_bucket{{le="60.0",site="shop"}}'] == 0
    assert told[f'{WAITED}_bucket{{le="120.0",site="shop"}}'] == 1
    assert told['chaser_callback_placed_total{site="shop"}'] == 1


def test_of_a_planned_one_too_for_chaser_takes_it_at_once(here: Service, far_side: Chaser, clock: Clock) -> None:
    callback = fails_once(here, far_side, planned_time=(clock.now + timedelta(days=1)).isoformat())
    clock.advance(seconds=90)
    here.wait_for(callback, "placed")
    until(lambda: waited(here) == (1, 90))


def test_of_a_held_one_from_its_release(here: Service, clock: Clock) -> None:
    callback = here.accepted(website="filled in")
    clock.advance(hours=5)
    assert here.http.post(f"/v1/callbacks/{callback}/release", headers=AUTHORIZED).status_code == 200
    here.wait_for(callback, "placed")
    until(lambda: waited(here) == (1, 0))


def test_what_became_too_old_is_counted_as_given_up(here: Service, far_side: Chaser, clock: Clock) -> None:
    callback = fails_once(here, far_side, client_phone=phone())
    clock.advance(hours=3)
    here.wait_for(callback, "failed")
    until(lambda: scrape(here)["chaser_callback_expired_total"] == 1)
    assert waited(here) == (0, 0)
