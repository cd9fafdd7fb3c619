"""The quotas one by one: wide IPv6 networks, when a phone rings, and what the log is told; on both databases."""

import asyncio
from datetime import datetime, timedelta
from ipaddress import ip_address

import pytest
from limits import parse_many
from sqlalchemy import Connection, event

from app.errors import TooManyRequestsError
from app.net.client_address import buckets
from app.outbox.accepting import AdmissionConfig
from app.outbox.outbox import Outbox
from app.outbox.quotas import BUCKETS, ROOM, Quotas
from app.outbox.used_challenges import Challenge
from tests.databases import PostgreSQL
from tests.outbox.factories import NOW, InspectableOutbox, callback, from_address, rules

WIDE = tuple(parse_many("9999/hour"))
TWO = tuple(parse_many("2/hour"))
PER_CLIENT = rules(Quotas(WIDE, TWO, WIDE, WIDE))
PER_CLIENT_PHONES = rules(Quotas(WIDE, WIDE, TWO, WIDE))


def test_each_bucket_of_the_edge_has_its_column_and_no_more_room_than_the_flood_limit_gives() -> None:
    edge = buckets(ip_address("2001:db8::1"))
    assert [bucket.key.partition("/")[2] for bucket in edge] == [
        name.removeprefix("client_bucket").lstrip("_") or "64" for name, _ in BUCKETS
    ]
    assert all(weight <= bucket.weight for bucket, (_, weight) in zip(edge, BUCKETS, strict=True))


async def ask(outbox: Outbox, address: str, number: int, terms: AdmissionConfig) -> str:
    """Give what came of it: "accepted", or the refusal and its wait."""
    try:
        await outbox.accept(from_address(address, client_phone=f"7916{number:07}"), None, terms)
    except TooManyRequestsError as refused:
        return f"{refused.code} for {refused.retry_after:.0f} s"
    return "accepted"


@pytest.mark.parametrize(("terms", "code"), [(PER_CLIENT, "quota_client"), (PER_CLIENT_PHONES, "quota_client_phones")])
@pytest.mark.parametrize(
    ("network", "room"),
    [
        ("2001:db8::{:x}", 2),  # addresses of one /64
        ("2001:db8:0:{:x}::1", 4),  # a /64 each, in one /56
        ("2001:db8:0:{:x}00::1", 8),  # a /56 each, in one /48
    ],
)
async def test_a_network_has_so_much_room_and_no_more(
    outbox: Outbox, network: str, room: int, terms: AdmissionConfig, code: str
) -> None:
    answers = [await ask(outbox, network.format(number), number, terms) for number in range(1, room + 2)]
    assert answers == ["accepted"] * room + [f"{code} for 3600 s"]
    assert await ask(outbox, "2001:db8:1::1", 999, terms) == "accepted", "another /48"


@pytest.mark.parametrize(("terms", "code"), [(PER_CLIENT, "quota_client"), (PER_CLIENT_PHONES, "quota_client_phones")])
@pytest.mark.parametrize(
    "network", ["203.0.113.7", "2001:db8::{:x}", "2001:db8:0:{:x}::1", "2001:db8:0:{:x}00::1"], ids=["v4", 64, 56, 48]
)
async def test_visitors_who_solved_challenges_have_more_room_but_a_wide_network_no_more_than_one_address(
    outbox: Outbox, network: str, terms: AdmissionConfig, code: str
) -> None:
    room = 2 * ROOM
    for number in range(room):
        work = Challenge(f"{number:032}", NOW + timedelta(minutes=10))
        await outbox.accept(from_address(network.format(number), client_phone=f"7916{number:07}"), None, terms, work)
    one_more = from_address(network.format(room), client_phone="79169999999")
    with pytest.raises(TooManyRequestsError) as refused:
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
    assert answers.count("accepted") == 4
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


async def test_a_site_that_stays_near_its_limit_is_told_of_once_in_the_window(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    terms = rules(Quotas(WIDE, WIDE, WIDE, tuple(parse_many("10/hour"))))
    for number in range(40):  # of each hour's sixty minutes ten: it is at 80 % again and again
        asked_at = NOW + timedelta(minutes=7 * number)
        await outbox.accept(callback(client_phone=f"7916{number:07}", created_at=asked_at), None, terms)
    told = [record for record in caplog.records if record.message == "quota.site_budget"]
    assert [record.percent for record in told] == [80] * 4, "in 273 minutes, from the eighth on"


async def test_the_log_is_told_of_a_budget_only_when_what_spends_it_is_on_disk(
    outbox: InspectableOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    terms = rules(Quotas(WIDE, WIDE, WIDE, tuple(parse_many("1/day"))))

    def break_down(_connection: Connection) -> None:
        raise RuntimeError("the disk is gone")

    event.listen(outbox.database.writing, "commit", break_down)
    with pytest.raises(RuntimeError):
        await outbox.accept(callback(), None, terms)
    event.remove(outbox.database.writing, "commit", break_down)
    assert [record for record in caplog.records if record.message == "quota.site_budget"] == []
    await outbox.accept(callback(), None, terms)
    told = [record.percent for record in caplog.records if record.message == "quota.site_budget"]
    assert told == [80, 100]


PHONE = AdmissionConfig(timedelta(0), Quotas(tuple(parse_many("3/hour;5/day")), WIDE, WIDE, WIDE))
RINGS = NOW + timedelta(days=6)


async def ring(outbox: Outbox, asked_at: datetime, rings_at: datetime | None) -> str:
    try:
        # Each time at another site: asked for again at the same one, the same call is the same callback.
        wish = callback(site=f"shop-{asked_at}", created_at=asked_at, planned_time=rings_at)
        await outbox.accept(wish, None, PHONE)
    except TooManyRequestsError as refused:
        return f"{refused.code} for {refused.retry_after:.0f} s"
    return "accepted"


async def test_what_is_asked_for_on_many_days_does_not_ring_in_one_hour(outbox: Outbox) -> None:
    answers = [
        await ring(outbox, NOW + timedelta(days=day, minutes=25 * number), RINGS + timedelta(minutes=number))
        for day in range(5)
        for number in range(5)
    ]
    assert answers.count("accepted") == 3
    assert answers[3] == "quota_phone for 3600 s"


@pytest.mark.parametrize("minutes", [-59, 0, 59])
async def test_the_limit_of_ringing_holds_before_and_after_what_is_planned(outbox: Outbox, minutes: int) -> None:
    for number in range(3):
        assert await ring(outbox, NOW + timedelta(days=number), RINGS) == "accepted"
    near = RINGS + timedelta(minutes=minutes)
    assert await ring(outbox, NOW + timedelta(days=4), near) == "quota_phone for 3600 s"
    assert await ring(outbox, near, None) == "quota_phone for 3600 s", "unplanned, it would ring at once"
    assert await ring(outbox, NOW + timedelta(days=4), RINGS + timedelta(minutes=60)) == "accepted"


async def test_calls_on_both_sides_count_together_only_when_one_window_holds_them(outbox: Outbox) -> None:
    for number, minutes in enumerate((-50, -40, 40)):
        assert await ring(outbox, NOW + timedelta(hours=6 * number), RINGS + timedelta(minutes=minutes)) == "accepted"
    assert await ring(outbox, NOW + timedelta(days=1), RINGS) == "accepted", "three in the hour up to it, two after"
    assert await ring(outbox, NOW + timedelta(days=2), RINGS) == "quota_phone for 3600 s"


async def test_the_limit_of_a_day_holds_for_ringing_too(outbox: Outbox) -> None:
    for number in range(5):
        assert await ring(outbox, NOW + timedelta(days=number), RINGS + timedelta(hours=2 * number)) == "accepted"
    answer = await ring(outbox, NOW + timedelta(days=5), RINGS + timedelta(hours=12))
    assert answer == "quota_phone for 86400 s"


async def test_what_was_cancelled_does_not_ring(outbox: Outbox) -> None:
    for number in range(3):
        planned = callback(site=f"shop-{number}", created_at=NOW + timedelta(days=number), planned_time=RINGS)
        await outbox.accept(planned, None, PHONE)
    await outbox.cancel(planned.id, NOW + timedelta(days=3))
    assert await ring(outbox, NOW + timedelta(days=4), RINGS) == "accepted"


async def test_the_wait_for_a_phone_does_not_tell_when_it_was_asked_for(outbox: Outbox) -> None:
    for minutes in (0, 4, 9):
        await ring(outbox, NOW + timedelta(minutes=minutes, seconds=17), None)
    assert await ring(outbox, NOW + timedelta(minutes=20), None) == "quota_phone for 2700 s"
