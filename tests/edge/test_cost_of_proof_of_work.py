"""The cost of proof of work for a thousand requests, from few addresses and from many."""

import hashlib
import time
from ipaddress import ip_address

import pytest

from app.edge.challenge_difficulty import AdaptiveDifficulty
from app.edge.proof_of_work import COST, COUNTERS
from app.net.client_address import buckets
from tests.faults.doses import note

REQUESTS = 1000


class Seconds:
    """A clock that stands still until a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def derivations(addresses: int, seconds: float) -> float:
    """Return the average number of derivations for a thousand challenges fetched within some seconds."""
    clock = Seconds()
    difficulty = AdaptiveDifficulty(clock)
    total = 0.0
    for number in range(REQUESTS):
        clock.now += seconds / REQUESTS
        host = number % addresses
        total += difficulty.next("shop", buckets(ip_address(f"10.0.{host >> 8}.{host & 255}"))) * COUNTERS / 2
    return total


def test_a_flood_from_one_address_costs_many_times_as_much_as_from_as_many_visitors() -> None:
    ordinary = REQUESTS * COUNTERS / 2
    assert derivations(addresses=1, seconds=60) > 10 * ordinary


def test_a_thousand_visitors_in_a_day_have_the_ordinary_cost() -> None:
    assert derivations(addresses=1000, seconds=86_400) == pytest.approx(REQUESTS * COUNTERS / 2)


def test_the_cost_in_seconds_is_noted() -> None:
    began = time.process_time()
    for number in range(100):
        hashlib.pbkdf2_hmac("sha256", bytes(16) + number.to_bytes(4, "big"), bytes(16), COST, 32)
    each = (time.process_time() - began) / 100
    for addresses, seconds in ((1, 60), (1, 3600), (200, 60), (200, 3600)):
        price = derivations(addresses, seconds) * each
        note(f"{REQUESTS} solved challenges, {addresses} addresses, within {seconds} s", f"{price:.0f} s of one core")
    assert each > 0
