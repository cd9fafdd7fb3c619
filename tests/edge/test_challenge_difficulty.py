"""Adaptive difficulty: it rises with a flood and falls by itself."""

import sys
from ipaddress import ip_address

import pytest

from app.edge.challenge_difficulty import HALF_LIFE, MOST, AdaptiveDifficulty
from app.net.client_address import buckets

HOME = buckets(ip_address("203.0.113.7"))


class Seconds:
    """A clock that stands still until a test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def from_somewhere(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def test_an_ordinary_visitor_gets_the_ordinary_difficulty() -> None:
    difficulty = AdaptiveDifficulty()
    assert [difficulty.next("shop", HOME) for _ in range(10)] == [1.0] * 10


def test_fifty_visitors_behind_one_carrier_get_less_than_double_difficulty() -> None:
    difficulty = AdaptiveDifficulty()
    assert max(difficulty.next("shop", HOME) for _ in range(50)) < 2


def test_a_flood_from_one_bucket_raises_the_difficulty_up_to_the_maximum() -> None:
    difficulty = AdaptiveDifficulty(Seconds())
    paid = [difficulty.next("shop", HOME) for _ in range(6000)]
    assert paid == sorted(paid)
    assert paid[-1] == MOST


def test_a_flood_from_ever_new_addresses_raises_the_difficulty_of_its_site_alone() -> None:
    difficulty = AdaptiveDifficulty(Seconds())
    for number in range(3000):
        paid = difficulty.next("shop", buckets(ip_address(from_somewhere(number))))
    assert paid == 10
    assert difficulty.next("other", HOME) == 1


@pytest.mark.parametrize(
    "networks",
    [
        [f"198.51.100.{host}" for host in range(45)],
        [f"2001:db8:{site:x}:{{:x}}::1" for site in range(3)],  # a new /64 each time, in three /48
    ],
    ids=["45 IPv4 addresses", "three /48"],
)
def test_a_flood_from_few_networks_hardly_raises_the_difficulty_for_others(networks: list[str]) -> None:
    seconds = Seconds()
    difficulty = AdaptiveDifficulty(seconds)
    for second in range(600):
        seconds.now += 1
        for again in range(45 // len(networks)):
            for network in networks:
                difficulty.next("shop", buckets(ip_address(network.format(15 * second + again))))
    assert difficulty.next("shop", HOME) < 2


def test_a_wide_ipv6_bucket_has_more_free_challenges_than_a_narrow_one() -> None:
    difficulty = AdaptiveDifficulty(Seconds())
    for number in range(120):  # each of a /64 of its own within one /56
        paid = difficulty.next("shop", buckets(ip_address(f"2001:db8:0:{number:x}::1")))
    narrow = AdaptiveDifficulty(Seconds())
    for _ in range(120):
        paid_alone = narrow.next("shop", buckets(ip_address("2001:db8::1")))
    assert paid < paid_alone


def test_the_difficulty_falls_by_itself() -> None:
    seconds = Seconds()
    difficulty = AdaptiveDifficulty(seconds)
    for _ in range(240):
        before = difficulty.next("shop", HOME)
    seconds.now += HALF_LIFE
    half = difficulty.next("shop", HOME)
    assert before / 2 < half < before / 2 + 0.1
    seconds.now += 10 * HALF_LIFE
    assert difficulty.next("shop", HOME) == 1


def test_ever_new_addresses_use_bounded_memory_and_release_it() -> None:
    seconds = Seconds()
    difficulty = AdaptiveDifficulty(seconds)
    before = sys.getallocatedblocks()
    for number in range(100_000):
        difficulty.next("shop", buckets(ip_address(from_somewhere(number))))
    used = sys.getallocatedblocks() - before
    for _ in range(2):
        seconds.now += 11 * HALF_LIFE
        difficulty.next("shop", HOME)
    assert used < 350_000  # six blocks for each of 50,000 stored keys
    assert sys.getallocatedblocks() - before < used / 20
