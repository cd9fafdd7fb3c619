"""What the passing of time asks for: dead processes, changed settings, old age, erasing."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from app.delivery import maintenance
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.recorder import Recorder
from app.errors import UnavailableError
from app.main import utc_now
from app.outbox.outbox import Outbox
from tests.databases import PostgreSQL
from tests.delivery.conftest import Attempts
from tests.delivery.factories import RULES
from tests.outbox.factories import callback, rules
from tests.running import AT_ONCE, Chaser, Clock, Service, phone, service, settings, until

DAY = timedelta(days=1)
LEFT = 150


async def leave_claimed(database_url: str, count: int) -> list[str]:
    """Do what a process does that dies with so many calls under way."""
    outbox = Outbox.open(database_url)
    now = datetime.now(UTC)
    wishes = [callback(client_phone=phone(), created_at=now) for _ in range(count)]
    await asyncio.gather(*(outbox.accept(wish, None, rules()) for wish in wishes))
    claims = await outbox.claim_due(now, max_delay=DAY, lease=timedelta(0), limit=count)
    assert len(claims) == count
    outbox.close()
    return [wish.id for wish in wishes]


def test_all_that_a_dead_process_left_is_settled_at_the_start(tmp_path: Path, database_url: str) -> None:
    left = asyncio.run(leave_claimed(database_url, LEFT))
    with service(settings(tmp_path, database_url=database_url)) as here:
        assert {here.status(wish) for wish in left} == {"unknown"}
        assert here.http.get("/readyz").json()["waiting"] == LEFT, "each will be sent once more"


def test_a_lease_of_our_own_that_ran_out_takes_nothing_from_what_we_know(
    tmp_path: Path, far_side: Chaser, postgresql: PostgreSQL
) -> None:
    url = postgresql.new_database()
    far_side.fault("slow", times=1, seconds=1.0)
    with (
        service(settings(tmp_path, far_side.api_url, database_url=url), poll_interval=AT_ONCE) as here,
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as database,
    ):
        wish = here.accepted()
        until(lambda: len(far_side.requests()) == 1)
        changed = database.execute("UPDATE callbacks SET lease_until = clock_timestamp() WHERE status = 'sending'")
        assert changed.rowcount == 1
        until(lambda: here.status(wish) != "sending")  # the care comes by many times meanwhile
        assert here.status(wish) == "placed"
        assert database.execute("SELECT outcome FROM attempts").fetchall() == [("placed",)]


async def test_for_a_while_after_the_database_was_away_other_processes_may_write_what_they_know(
    postgresql: PostgreSQL,
) -> None:
    url = postgresql.new_database()
    (left,) = await leave_claimed(url, 1)
    outbox = Outbox.open(url)
    accounts = CircuitBreakers({})
    recorder = Recorder(outbox, accounts, RULES, utc_now)

    async def status_after(looking: maintenance.Maintenance) -> str | None:
        await looking.run_once()
        glimpse = await outbox.callback_status(left)
        return glimpse and glimpse.status

    def newly_started() -> maintenance.Maintenance:
        return maintenance.Maintenance(outbox, accounts, recorder, RULES, utc_now, is_local=lambda _: False)

    looking = newly_started()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as database:
        database.execute("ALTER TABLE callbacks RENAME TO gone")
        with pytest.raises(UnavailableError):
            await looking.run_once()
        database.execute("ALTER TABLE gone RENAME TO callbacks")
    assert await status_after(looking) == "sending", "whoever holds it may have been cut off as well"
    newly = newly_started()
    assert await status_after(newly) == "sending", "found once: it may have been settled a moment ago"
    assert await status_after(newly) == "unknown"
    outbox.close()


async def test_what_this_process_lost_is_settled_without_a_restart(database_url: str) -> None:
    (left,) = await leave_claimed(database_url, 1)
    outbox = Outbox.open(database_url)
    accounts = CircuitBreakers({})
    ours = True
    recorder = Recorder(outbox, accounts, RULES, utc_now)
    looking = maintenance.Maintenance(outbox, accounts, recorder, RULES, utc_now, is_local=lambda _: ours)
    for is_ours, expected in ((True, "sending"), (True, "sending"), (False, "sending"), (False, "unknown")):
        ours = is_ours
        await looking.run_once()
        glimpse = await outbox.callback_status(left)
        assert glimpse is not None
        assert glimpse.status == expected
    outbox.close()


@pytest.mark.parametrize("newly", [{"on_unknown": "hold"}, {"sites": {"shop": {"on_unknown": "hold"}}}])
def test_a_resend_that_was_decided_before_the_settings_said_hold_waits_for_a_person(
    tmp_path: Path,
    far_side: Chaser,
    clock: Clock,
    attempts: Attempts,
    reason: Callable[[str], str | None],
    newly: dict[str, object],
) -> None:
    far_side.fault("reset_after", times=1, path="/v1/call")
    with service(settings(tmp_path, far_side.api_url), clock=clock, poll_interval=AT_ONCE) as here:
        wish = here.accepted()
        here.wait_for(wish, "unknown")
    assert reason(wish) == "resend_once"
    clock.advance(seconds=61)
    with service(settings(tmp_path, far_side.api_url, **newly), clock=clock, poll_interval=AT_ONCE) as here:
        here.wait_for(here.accepted(), "placed")
        assert here.status(wish) == "unknown"
        assert here.http.get("/readyz").json()["waiting"] == 0
    assert reason(wish) == "awaiting_operator"
    assert attempts(wish) == [("unknown", None)]
    assert len(far_side.calls()) == 2


def test_a_resend_that_can_not_be_sent_is_tried_until_it_is_too_old_and_stays_unknown(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts, reason: Callable[[str], str | None]
) -> None:
    far_side.fault("reset_after", times=1, path="/v1/call")
    wish = here.accepted()
    here.wait_for(wish, "unknown")
    far_side.fault("refuse", times=None)
    for tries in range(1, 4):
        clock.advance(seconds=75)
        until(lambda tries=tries: attempts(wish) == [("unknown", None)] + [("not_sent", None)] * tries)
        until(lambda: reason(wish) == "not_sent")
        assert here.status(wish) == "unknown", "it may have rung"
    clock.advance(hours=2)
    until(lambda: reason(wish) == "expired_unknown")
    assert here.status(wish) == "unknown"
    assert here.http.get("/readyz").json()["sites"] == {"shop": "ok"}


def test_a_resend_that_chaser_refuses_stays_unknown(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts, reason: Callable[[str], str | None]
) -> None:
    far_side.fault("reset_after", times=1, path="/v1/call")
    wish = here.accepted()
    here.wait_for(wish, "unknown")
    far_side.fault("status", status=404, times=1)
    clock.advance(seconds=61)
    until(lambda: reason(wish) == "resend_refused")
    assert attempts(wish) == [("unknown", None), ("refused", 404)]
    assert here.status(wish) == "unknown"


def test_erasing_that_failed_is_done_again_at_once_and_not_an_hour_later(
    tmp_path: Path, here: Service, clock: Clock
) -> None:
    def ask(statement: str) -> int:
        with closing(sqlite3.connect(tmp_path / "callbacks.db", timeout=10, isolation_level=None)) as database:
            ((number,),) = database.execute(statement).fetchall() or [(0,)]
            return int(number)

    phones, keys = "SELECT count(client_phone) FROM callbacks", "SELECT count(*) FROM request_keys"
    here.wait_for(here.accepted(request_id="kept-as-long-as-the-phone"), "placed")
    assert (ask(phones), ask(keys)) == (1, 1)
    ask("CREATE TRIGGER keep BEFORE DELETE ON request_keys BEGIN SELECT RAISE(ABORT, 'not now'); END")
    clock.advance(days=91)
    until(lambda: ask(phones) == 0)
    ask("DROP TRIGGER keep")
    until(lambda: ask(keys) == 0)
