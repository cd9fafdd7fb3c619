"""Two processes on PostgreSQL decide about the same key, phone or request one after the other."""

import asyncio
from dataclasses import replace

from sqlalchemy import create_engine, select

from app.admission.batch import admit_batch
from app.errors import UnprocessableContentError
from app.outbox.callback import AcceptResult
from app.outbox.schema import callbacks
from tests.admission.deciding import (
    API_KEY,
    HOUR,
    KEY,
    MINUTE,
    NOW,
    OTHER_ADDRESS,
    OTHER_PHONE,
    config,
    request,
)
from tests.databases import PostgreSQL
from tests.outbox.factories import (
    CONFIG,
    InspectableOutbox,
    callback,
    from_address,
    store_sent,
)


def phone(number: int) -> str:
    return f"7916{number:07}"


async def test_of_concurrent_requests_with_one_key_to_two_processes_one_is_accepted(postgresql: PostgreSQL) -> None:
    """They have nothing else in common: the key itself is locked."""
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    keys = [replace(KEY, scope="key:crm", fingerprint=f"{number:064}") for number in range(40)]
    answers = await asyncio.gather(
        *(
            both[number % 2].admit(callback(api_key=API_KEY, site=f"s-{number}", client_phone=phone(number)), key)
            for number, key in enumerate(keys)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, AcceptResult) for answer in answers) == 1
    assert sum(isinstance(answer, UnprocessableContentError) for answer in answers) == len(keys) - 1
    for one in both:
        one.close()


async def test_a_request_at_one_of_two_processes_covers_those_at_the_other(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    await asyncio.gather(*(both[number % 2].admit(from_address(f"198.51.{number}.1")) for number in range(60)))
    assert await both[0].waiting() == 1
    for one in both:
        one.close()


async def test_one_call_may_be_repeated_once_by_two_processes(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    both = [InspectableOutbox.open(url), InspectableOutbox.open(url)]
    rules = config(duplicate_window=MINUTE)
    named = await store_sent(both[0], callback(created_at=NOW - HOUR))
    await asyncio.gather(
        *(both[n % 2].admit(from_address(f"198.51.{n}.1", again=named), None, rules) for n in range(40))
    )
    assert both[0].scalars(select(callbacks.c.again_of).where(callbacks.c.again_of.is_not(None))) == [named]
    for one in both:
        one.close()


async def test_a_stopped_process_that_admits_delays_no_other_phone_site_and_address(postgresql: PostgreSQL) -> None:
    """Each waits for its own values only, and delivery waits for none of them."""
    url = postgresql.new_database()
    stopped, outbox = create_engine(url), InspectableOutbox.open(url)
    with stopped.begin() as connection:
        admit_batch(connection, [request(OTHER_ADDRESS)], CONFIG)
        async with asyncio.timeout(5):
            other = callback(client_phone=OTHER_PHONE, site="blog")
            assert (await outbox.admit(other)).id == other.id
            await outbox.cancel(other.id, NOW)
            await outbox.expire(NOW)
            await outbox.erase(NOW)
            await outbox.check()
        waiting = asyncio.ensure_future(outbox.admit(callback(site="blog")))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done, "the same phone"
    await waiting
    outbox.close()
    stopped.dispose()
