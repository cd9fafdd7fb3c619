"""The blocklist: what is stored, and how it is asked."""

from datetime import timedelta

import pytest

from app.outbox import blocklist
from app.outbox.blocklist import Blocked
from app.outbox.outbox import Outbox
from tests.outbox.making import NOW, callback, rules

BLOCKED = Blocked(["79161234567", "203.0.113.7/32", "198.51.100.0/24", "2001:db8:1::/48", "0.0.0.0/8"])


@pytest.mark.parametrize(
    ("address", "blocked"),
    [
        ("203.0.113.7", True),
        ("203.0.113.8", False),
        ("198.51.100.255", True),
        ("198.51.101.0", False),
        ("2001:db8:1:ffff::1", True),
        ("2001:db8:2::1", False),
        ("::1", False),
        ("0.0.0.0", True),
    ],
)
def test_an_address_is_blocked_by_any_network_that_holds_it(address: str, blocked: bool) -> None:
    assert BLOCKED.address(address) is blocked


def test_a_phone_is_blocked_whole_and_by_nothing_else() -> None:
    assert BLOCKED.phone("79161234567")
    assert not BLOCKED.phone("7916123456")
    assert not Blocked().phone("79161234567")
    assert not Blocked().address("203.0.113.7")


async def test_entries_are_kept_and_taken_out_again(outbox: Outbox) -> None:
    await outbox.block("79161234567", "asked for it", NOW)
    await outbox.block("203.0.113.0/24", None, NOW + timedelta(minutes=1))
    assert [entry.entry for entry in await outbox.blocklist()] == ["203.0.113.0/24", "79161234567"]
    assert (await outbox.blocked()).address("203.0.113.9")
    assert await outbox.unblock("203.0.113.0/24")
    assert not (await outbox.blocked()).address("203.0.113.9")
    assert not await outbox.unblock("203.0.113.0/24")


async def test_an_entry_written_twice_keeps_its_date_and_gets_the_new_note(outbox: Outbox) -> None:
    await outbox.block("79161234567", "first", NOW)
    await outbox.block("79161234567", "second", NOW + timedelta(days=1))
    assert await outbox.blocklist() == [blocklist.Entry("79161234567", "second", NOW)]


async def test_what_another_process_blocked_is_seen_after_a_moment(outbox: Outbox, database_url: str) -> None:
    await outbox.blocked()
    await outbox._write(lambda connection: blocklist.add(connection, "79161234567", None, NOW))  # as a replica would
    while not (await outbox.blocked()).phone("79161234567"):
        pass


async def test_blocking_a_phone_ends_what_waits_for_it_and_nothing_else(outbox: Outbox) -> None:
    waiting = await outbox.accept(callback(), None, rules())
    other = await outbox.accept(callback(client_phone="79161234568"), None, rules())
    await outbox.block("79161234567", None, NOW)
    ended, stays = await outbox.glimpse(waiting.id), await outbox.glimpse(other.id)
    assert ended is not None
    assert stays is not None
    assert (ended.status, stays.status) == ("cancelled", "queued")
