"""Maintenance: claims of dead processes, changed settings, expiry, erasure."""

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
from tests.databases import PostgreSQL
from tests.delivery.conftest import Attempts
from tests.delivery.factories import CONFIG
from tests.outbox.factories import InspectableOutbox, callback, store
from tests.running import AT_ONCE, AUTHORIZED, Chaser, Clock, Service, phone, service, settings, until

DAY = timedelta(days=1)
ORPHANS = 150


async def leave_claimed(database_url: str, count: int) -> list[str]:
    """Leave claims behind, as a process that dies with so many calls in flight. Returns the ids of the callbacks."""
    outbox = InspectableOutbox.open(database_url)
    now = datetime.now(UTC)
    callbacks = [callback(client_phone=phone(), created_at=now) for _ in range(count)]
    await store(outbox, *callbacks)
    claims = await outbox.claim_due(now, max_delay=DAY, lease=timedelta(0), limit=count, cap=CONFIG.cap)
    assert len(claims) == count
    outbox.close()
    return [one.id for one in callbacks]


def test_all_claims_of_a_dead_process_are_finished_at_the_start(tmp_path: Path, database_url: str) -> None:
    orphans = asyncio.run(leave_claimed(database_url, ORPHANS))
    with service(settings(tmp_path, database_url=database_url)) as here:
        assert {here.status(callback_id) for callback_id in orphans} == {"unknown"}
        assert here.http.get("/readyz", headers=AUTHORIZED).json()["waiting"] == ORPHANS, "each will be sent once more"


def test_a_local_claim_whose_lease_expired_keeps_its_own_result(
    tmp_path: Path, far_side: Chaser, postgresql: PostgreSQL
) -> None:
    url = postgresql.new_database()
    far_side.fault("slow", times=1, seconds=1.0)
    with (
        service(settings(tmp_path, far_side.api_url, database_url=url), poll_interval=AT_ONCE) as here,
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as database,
    ):
        callback_id = here.accepted()
        until(lambda: len(far_side.requests()) == 1)
        updated = database.execute("UPDATE callbacks SET lease_until = clock_timestamp() WHERE status = 'sending'")
        assert updated.rowcount == 1
        until(lambda: here.status(callback_id) != "sending")  # maintenance runs many times meanwhile
        assert here.status(callback_id) == "placed"
        assert database.execute("SELECT outcome FROM attempts").fetchall() == [("placed",)]


async def test_after_a_database_outage_other_processes_have_time_to_write_their_results(
    postgresql: PostgreSQL,
) -> None:
    url = postgresql.new_database()
    (orphan,) = await leave_claimed(url, 1)
    outbox = InspectableOutbox.open(url)
    breakers = CircuitBreakers({})
    recorder = Recorder(outbox, breakers, CONFIG, utc_now)

    async def status_after_a_run(maintaining: maintenance.Maintenance) -> str | None:
        await maintaining.run_once()
        current = await outbox.callback_status(orphan)
        return current and current.status

    def new_maintenance() -> maintenance.Maintenance:
        return maintenance.Maintenance(outbox, breakers, recorder, CONFIG, utc_now, is_local=lambda _: False)

    maintaining = new_maintenance()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as database:
        database.execute("ALTER TABLE callbacks RENAME TO gone")
        with pytest.raises(UnavailableError):
            await maintaining.run_once()
        database.execute("ALTER TABLE gone RENAME TO callbacks")
    for _ in range(3):
        assert await status_after_a_run(maintaining) == "sending", "its process may have been disconnected too"
    restarted = new_maintenance()
    assert await status_after_a_run(restarted) == "sending", "found once: it may have been finished since the query"
    assert await status_after_a_run(restarted) == "unknown"
    outbox.close()


async def test_a_claim_that_this_process_lost_is_finished_without_a_restart(database_url: str) -> None:
    (orphan,) = await leave_claimed(database_url, 1)
    outbox = InspectableOutbox.open(database_url)
    breakers = CircuitBreakers({})
    is_local = True
    recorder = Recorder(outbox, breakers, CONFIG, utc_now)
    maintaining = maintenance.Maintenance(outbox, breakers, recorder, CONFIG, utc_now, is_local=lambda _: is_local)
    for local, expected in ((True, "sending"), (True, "sending"), (False, "sending"), (False, "unknown")):
        is_local = local
        await maintaining.run_once()
        current = await outbox.callback_status(orphan)
        assert current is not None
        assert current.status == expected
    outbox.close()


@pytest.mark.parametrize("new_settings", [{"on_unknown": "hold"}, {"sites": {"shop": {"on_unknown": "hold"}}}])
def test_a_resend_that_was_scheduled_before_the_settings_said_hold_waits_for_an_operator(
    tmp_path: Path,
    far_side: Chaser,
    clock: Clock,
    attempts: Attempts,
    reason: Callable[[str], str | None],
    new_settings: dict[str, object],
) -> None:
    far_side.fault("reset_after", times=1, path="/v1/call")
    with service(settings(tmp_path, far_side.api_url), clock=clock, poll_interval=AT_ONCE) as here:
        callback_id = here.accepted()
        here.wait_for(callback_id, "unknown")
    assert reason(callback_id) == "resend_once"
    clock.advance(seconds=61)
    with service(settings(tmp_path, far_side.api_url, **new_settings), clock=clock, poll_interval=AT_ONCE) as here:
        here.wait_for(here.accepted(), "placed")
        assert here.status(callback_id) == "unknown"
        assert here.http.get("/readyz", headers=AUTHORIZED).json()["waiting"] == 0
    assert reason(callback_id) == "awaiting_operator"
    assert attempts(callback_id) == [("unknown", None)]
    assert len(far_side.calls()) == 2


def test_a_resend_that_cannot_be_sent_is_retried_until_it_expires_and_stays_unknown(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts, reason: Callable[[str], str | None]
) -> None:
    far_side.fault("reset_after", times=1, path="/v1/call")
    callback_id = here.accepted()
    here.wait_for(callback_id, "unknown")
    far_side.fault("refuse", times=None)
    for tries in range(1, 4):
        clock.advance(seconds=75)
        until(lambda tries=tries: attempts(callback_id) == [("unknown", None)] + [("not_sent", None)] * tries)
        until(lambda: reason(callback_id) == "not_sent")
        assert here.status(callback_id) == "unknown", "it may have rung"
    clock.advance(hours=2)
    until(lambda: reason(callback_id) == "expired_unknown")
    assert here.status(callback_id) == "unknown"
    assert here.http.get("/readyz", headers=AUTHORIZED).json()["sites"] == {"shop": "ok"}


def test_a_resend_that_chaser_refuses_stays_unknown(
    here: Service, far_side: Chaser, clock: Clock, attempts: Attempts, reason: Callable[[str], str | None]
) -> None:
    far_side.fault("reset_after", times=1, path="/v1/call")
    callback_id = here.accepted()
    here.wait_for(callback_id, "unknown")
    far_side.fault("status", status=404, times=1)
    clock.advance(seconds=61)
    until(lambda: reason(callback_id) == "resend_refused")
    assert attempts(callback_id) == [("unknown", None), ("refused", 404)]
    assert here.status(callback_id) == "unknown"


def test_failed_erasure_is_retried_at_once_and_not_an_hour_later(tmp_path: Path, here: Service, clock: Clock) -> None:
    def query(statement: str) -> int:
        with closing(sqlite3.connect(tmp_path / "callbacks.db", timeout=10, isolation_level=None)) as database:
            ((number,),) = database.execute(statement).fetchall() or [(0,)]
            return int(number)

    phones, keys = "SELECT count(client_phone) FROM callbacks", "SELECT count(*) FROM request_keys"
    here.wait_for(here.accepted(request_id="kept-as-long-as-the-phone"), "placed")
    assert (query(phones), query(keys)) == (1, 1)
    query("CREATE TRIGGER keep BEFORE DELETE ON request_keys BEGIN SELECT RAISE(ABORT, 'not now'); END")
    clock.advance(days=91)
    until(lambda: query(phones) == 0)
    query("DROP TRIGGER keep")
    until(lambda: query(keys) == 0)
