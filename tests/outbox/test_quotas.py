"""Quotas one by one: wide IPv6 networks, ring times and budget warnings; on both databases."""

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


def test_each_bucket_of_the_edge_has_a_column_and_at_most_the_multiple_of_the_flood_limit() -> None:
    edge = buckets(ip_address("2001:db8::1"))
    assert [bucket.key.partition("/")[2] for bucket in edge] == [
        name.removeprefix("client_bucket").lstrip("_") or "64" for name, _ in BUCKETS
    ]
    assert all(weight <= bucket.weight for bucket, (_, weight) in zip(edge, BUCKETS, strict=True))


async def ask(outbox: Outbox, address: str, number: int, config: AdmissionConfig) -> str:
    """Return the result of a request: "accepted", or the refusal and its wait."""
    try:
        await outbox.accept(from_address(address, client_phone=f"7916{number:07}"), None, config)
    except TooManyRequestsError as refused:
        return f"{refused.code} for {refused.retry_after:.0f} s"
    return "accepted"


@pytest.mark.parametrize(("config", "code"), [(PER_CLIENT, "quota_client"), (PER_CLIENT_PHONES, "quota_client_phones")])
@pytest.mark.parametrize(
    ("network", "allowed"),
    [
        ("2001:db8::{:x}", 2),  # addresses of one /64
        ("2001:db8:0:{:x}::1", 4),  # a /64 each, in one /56
        ("2001:db8:0:{:x}00::1", 8),  # a /56 each, in one /48
    ],
)
async def test_a_network_gets_exactly_its_multiple_of_the_limit(
    outbox: Outbox, network: str, allowed: int, config: AdmissionConfig, code: str
) -> None:
    answers = [await ask(outbox, network.format(number), number, config) for number in range(1, allowed + 2)]
    assert answers == ["accepted"] * allowed + [f"{code} for 3600 s"]
    assert await ask(outbox, "2001:db8:1::1", 999, config) == "accepted", "another /48"


@pytest.mark.parametrize(("config", "code"), [(PER_CLIENT, "quota_client"), (PER_CLIENT_PHONES, "quota_client_phones")])
@pytest.mark.parametrize(
    "network", ["203.0.113.7", "2001:db8::{:x}", "2001:db8:0:{:x}::1", "2001:db8:0:{:x}00::1"], ids=["v4", 64, 56, 48]
)
async def test_solved_challenges_raise_the_limit_of_a_wide_network_no_further_than_of_one_address(
    outbox: Outbox, network: str, config: AdmissionConfig, code: str
) -> None:
    allowed = 2 * ROOM
    for number in range(allowed):
        challenge = Challenge(f"{number:032}", NOW + timedelta(minutes=10))
        await outbox.accept(
            from_address(network.format(number), client_phone=f"7916{number:07}"), None, config, challenge
        )
    one_more = from_address(network.format(allowed), client_phone="79169999999")
    with pytest.raises(TooManyRequestsError) as refused:
        await outbox.accept(one_more, None, config, Challenge("f" * 32, NOW + timedelta(minutes=10)))
    assert refused.value.code == code


async def test_neighbouring_ipv4_addresses_are_counted_separately(outbox: Outbox) -> None:
    answers = [await ask(outbox, f"203.0.113.{number}", number, PER_CLIENT) for number in range(20)]
    assert answers == ["accepted"] * 20


async def test_a_wide_network_is_counted_exactly_over_concurrent_requests_to_two_processes(
    postgresql: PostgreSQL,
) -> None:
    url = postgresql.new_database()
    both = [Outbox.open(url), Outbox.open(url)]
    answers = await asyncio.gather(
        *(ask(both[number % 2], f"2001:db8:0:{number:x}::1", number, PER_CLIENT) for number in range(1, 101))
    )
    assert answers.count("accepted") == 4
    for outbox in both:
        outbox.close()


async def test_a_warning_is_logged_once_at_80_and_once_at_100_percent_of_a_sites_budget(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    config = rules(Quotas(WIDE, WIDE, WIDE, tuple(parse_many("10/day"))))
    logged = []
    for number in range(10):
        caplog.clear()
        await outbox.accept(from_address(f"203.0.113.{number}", client_phone=f"7916{number:07}"), None, config)
        logged.append([record.percent for record in caplog.records if record.message == "quota.site_budget"])
    assert logged == [[]] * 7 + [[80]] + [[], [100]]


async def test_a_site_that_stays_near_its_limit_is_logged_once_per_window(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    config = rules(Quotas(WIDE, WIDE, WIDE, tuple(parse_many("10/hour"))))
    for number in range(40):  # eight or nine in any hour, so it reaches 80 % again and again
        asked_at = NOW + timedelta(minutes=7 * number)
        await outbox.accept(callback(client_phone=f"7916{number:07}", created_at=asked_at), None, config)
    logged = [record for record in caplog.records if record.message == "quota.site_budget"]
    assert [record.percent for record in logged] == [80] * 4, "in 273 minutes, from the eighth on"


async def test_a_budget_warning_is_logged_only_after_the_commit(
    outbox: InspectableOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    config = rules(Quotas(WIDE, WIDE, WIDE, tuple(parse_many("1/day"))))

    def fail(_connection: Connection) -> None:
        raise RuntimeError("the disk is gone")

    event.listen(outbox.database.writing, "commit", fail)
    with pytest.raises(RuntimeError):
        await outbox.accept(callback(), None, config)
    event.remove(outbox.database.writing, "commit", fail)
    assert [record for record in caplog.records if record.message == "quota.site_budget"] == []
    await outbox.accept(callback(), None, config)
    logged = [record.percent for record in caplog.records if record.message == "quota.site_budget"]
    assert logged == [80, 100]


PHONE = AdmissionConfig(timedelta(0), Quotas(tuple(parse_many("3/hour;5/day")), WIDE, WIDE, WIDE))
RINGS = NOW + timedelta(days=6)


async def ring(outbox: Outbox, asked_at: datetime, rings_at: datetime | None) -> str:
    try:
        # Each time at another site: at the same one it would be a duplicate.
        request = callback(site=f"shop-{asked_at}", created_at=asked_at, planned_time=rings_at)
        await outbox.accept(request, None, PHONE)
    except TooManyRequestsError as refused:
        return f"{refused.code} for {refused.retry_after:.0f} s"
    return "accepted"


async def test_requests_made_on_many_days_do_not_ring_within_one_hour(outbox: Outbox) -> None:
    answers = [
        await ring(outbox, NOW + timedelta(days=day, minutes=25 * number), RINGS + timedelta(minutes=number))
        for day in range(5)
        for number in range(5)
    ]
    assert answers.count("accepted") == 3
    assert answers[3] == "quota_phone for 3600 s"


@pytest.mark.parametrize("minutes", [-59, 0, 59])
async def test_the_ring_limit_applies_before_and_after_planned_calls(outbox: Outbox, minutes: int) -> None:
    for number in range(3):
        assert await ring(outbox, NOW + timedelta(days=number), RINGS) == "accepted"
    near = RINGS + timedelta(minutes=minutes)
    assert await ring(outbox, NOW + timedelta(days=4), near) == "quota_phone for 3600 s"
    assert await ring(outbox, near, None) == "quota_phone for 3600 s", "unplanned, it would ring at once"
    assert await ring(outbox, NOW + timedelta(days=4), RINGS + timedelta(minutes=60)) == "accepted"


async def test_calls_on_both_sides_count_together_only_if_one_window_contains_them(outbox: Outbox) -> None:
    for number, minutes in enumerate((-50, -40, 40)):
        assert await ring(outbox, NOW + timedelta(hours=6 * number), RINGS + timedelta(minutes=minutes)) == "accepted"
    assert await ring(outbox, NOW + timedelta(days=1), RINGS) == "accepted", "three in the hour up to it, two after"
    assert await ring(outbox, NOW + timedelta(days=2), RINGS) == "quota_phone for 3600 s"


async def test_the_daily_limit_applies_to_ring_times_too(outbox: Outbox) -> None:
    for number in range(5):
        assert await ring(outbox, NOW + timedelta(days=number), RINGS + timedelta(hours=2 * number)) == "accepted"
    answer = await ring(outbox, NOW + timedelta(days=5), RINGS + timedelta(hours=12))
    assert answer == "quota_phone for 86400 s"


async def test_a_cancelled_call_does_not_count_as_a_ring(outbox: Outbox) -> None:
    for number in range(3):
        planned = callback(site=f"shop-{number}", created_at=NOW + timedelta(days=number), planned_time=RINGS)
        await outbox.accept(planned, None, PHONE)
    await outbox.cancel(planned.id, NOW + timedelta(days=3))
    assert await ring(outbox, NOW + timedelta(days=4), RINGS) == "accepted"


async def test_the_wait_for_a_phone_does_not_reveal_when_it_was_requested(outbox: Outbox) -> None:
    for minutes in (0, 4, 9):
        await ring(outbox, NOW + timedelta(minutes=minutes, seconds=17), None)
    assert await ring(outbox, NOW + timedelta(minutes=20), None) == "quota_phone for 2700 s"
