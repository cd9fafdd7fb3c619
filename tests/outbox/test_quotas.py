"""IPv6 visitors: whoever is given a /56 or a /48 has no fresh quota for each network in it."""

import asyncio
from datetime import timedelta
from ipaddress import ip_address

import pytest
from limits import parse_many

from app.edge.client_address import buckets
from app.errors import TooMany
from app.outbox.accepting import AcceptRules
from app.outbox.challenges import Challenge
from app.outbox.outbox import Outbox
from app.outbox.quotas import BUCKETS, ROOM, Quotas
from tests.databases import PostgreSQL
from tests.outbox.making import NOW, from_address, rules

WIDE = tuple(parse_many("9999/hour"))
TWO = tuple(parse_many("2/hour"))
PER_CLIENT = rules(Quotas(WIDE, TWO, WIDE, WIDE))
PER_CLIENT_PHONES = rules(Quotas(WIDE, WIDE, TWO, WIDE))


def test_each_bucket_of_the_edge_has_its_column_and_its_weight() -> None:
    edge = buckets(ip_address("2001:db8::1"))
    assert [(bucket.key.partition("/")[2], bucket.weight) for bucket in edge] == [
        (name.removeprefix("client_bucket").lstrip("_") or "64", weight) for name, weight in BUCKETS
    ]


async def ask(outbox: Outbox, address: str, number: int, terms: AcceptRules) -> str:
    """Give what came of it: "accepted", or the refusal and its wait."""
    try:
        await outbox.accept(from_address(address, client_phone=f"7916{number:07}"), None, terms)
    except TooMany as refused:
        return f"{refused.code} for {refused.retry_after:.0f} s"
    return "accepted"


@pytest.mark.parametrize(("terms", "code"), [(PER_CLIENT, "quota_client"), (PER_CLIENT_PHONES, "quota_client_phones")])
@pytest.mark.parametrize(
    ("network", "room"),
    [
        ("2001:db8::{:x}", 2),  # addresses of one /64
        ("2001:db8:0:{:x}::1", 8),  # a /64 each, in one /56
        ("2001:db8:0:{:x}00::1", 32),  # a /56 each, in one /48
    ],
)
async def test_a_network_has_so_much_room_and_no_more(
    outbox: Outbox, network: str, room: int, terms: AcceptRules, code: str
) -> None:
    answers = [await ask(outbox, network.format(number), number, terms) for number in range(1, room + 2)]
    assert answers == ["accepted"] * room + [f"{code} for 3600 s"]
    assert await ask(outbox, "2001:db8:1::1", 999, terms) == "accepted", "another /48"


@pytest.mark.parametrize(("terms", "code"), [(PER_CLIENT, "quota_client"), (PER_CLIENT_PHONES, "quota_client_phones")])
async def test_visitors_who_solved_challenges_have_more_room_but_an_end_too(
    outbox: Outbox, terms: AcceptRules, code: str
) -> None:
    room = 2 * ROOM
    for number in range(room):
        work = Challenge(f"{number:032}", NOW + timedelta(minutes=10))
        await outbox.accept(from_address("203.0.113.7", client_phone=f"7916{number:07}"), None, terms, work)
    one_more = from_address("203.0.113.7", client_phone="79169999999")
    with pytest.raises(TooMany) as refused:
        await outbox.accept(one_more, None, terms, Challenge("f" * 32, NOW + timedelta(minutes=10)))
    assert refused.value.code == code


async def test_ipv4_addresses_next_to_each_other_are_counted_apart(outbox: Outbox) -> None:
    answers = [await ask(outbox, f"203.0.113.{number}", number, PER_CLIENT) for number in range(20)]
    assert answers == ["accepted"] * 20


async def test_a_wide_network_is_counted_exactly_when_all_ask_at_once_at_two_processes(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    both = [Outbox.open(url), Outbox.open(url)]
    answers = await asyncio.gather(
        *(ask(both[number % 2], f"2001:db8:0:{number:x}::1", number, PER_CLIENT) for number in range(1, 101))
    )
    assert answers.count("accepted") == 8
    for outbox in both:
        outbox.close()


async def test_the_log_is_told_once_at_80_and_once_at_100_percent_of_a_sites_budget(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    terms = rules(Quotas(WIDE, WIDE, WIDE, tuple(parse_many("10/day"))))
    told = []
    for number in range(10):
        caplog.clear()
        await outbox.accept(from_address(f"203.0.113.{number}", client_phone=f"7916{number:07}"), None, terms)
        told.append([record.percent for record in caplog.records if record.message == "quota.site_budget"])
    assert told == [[]] * 7 + [[80]] + [[], [100]]
