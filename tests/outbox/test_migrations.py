"""Migrating a database that holds a full queue loses nothing."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, text
from sqlalchemy.exc import OperationalError

import app.outbox.migrations
from app.admission.admission_request import Quotas
from app.errors import TooManyRequestsError
from app.outbox.callback import Callback, RequestKey
from app.outbox.database import DatabaseError, open_database
from app.outbox.migrate import migrate
from app.outbox.schema import attempts, callbacks, request_keys
from tests.databases import PostgreSQL
from tests.outbox.factories import CAP, MANY, NOW, InspectableOutbox, admission_config, callback, from_address, limits
from tests.outbox.queue_of_0_1 import upgrade

NAMED = {"application_name": "chaser-callback/0.2.0"}


def queue(engine: Engine, requests: list[Callback], **changes: Any) -> None:
    """Insert callbacks as the version that created these tables did."""
    columns = {column["name"] for column in inspect(engine).get_columns("callbacks")}
    rows = [asdict(request) | {"status": "queued", "updated_at": NOW} | changes for request in requests]
    with engine.begin() as connection:
        for row in rows:
            connection.execute(
                insert(callbacks).values({name: value for name, value in row.items() if name in columns})
            )


async def test_a_queue_of_the_first_version_is_sent_by_this_one(database_url: str) -> None:
    database = open_database(database_url)
    upgrade(database.writing, "0001")
    requests = [callback(client_phone=f"7916{number:07}") for number in range(500)]
    queue(database.writing, requests)
    with database.writing.begin() as connection:
        for number, request in enumerate(requests):
            key = {"scope": "site:shop", "key": f"key-{number}", "fingerprint": "a" * 64, "callback_id": request.id}
            connection.execute(insert(request_keys).values(**key, created_at=NOW))
    database.close()

    outbox = InspectableOutbox.open(database_url)
    assert await outbox.waiting() == 500
    sent_again = callback(client_phone="79160000007", created_at=NOW + timedelta(days=1))
    again = await outbox.admit(sent_again, RequestKey("site:shop", "key-7", "b" * 64))
    assert (again.id, again.created_at, again.duplicate, again.replayed) == (requests[7].id, NOW, False, True)
    claims = await outbox.claim_due(NOW, max_delay=timedelta(1), lease=timedelta(seconds=40), limit=1000, cap=CAP)
    assert {claim.callback_id for claim in claims} == {request.id for request in requests}
    assert json.dumps(claims[0].parameters, default=str).count("7916") == 1
    outbox.close()


async def test_visitors_of_the_second_version_count_in_their_wider_networks(database_url: str) -> None:
    database = open_database(database_url)
    upgrade(database.writing, "0002")
    networks = [f"2001:db8:0:{number:x}::/64" for number in range(1, 9)]
    queue(database.writing, [callback(client_phone=f"7916{n:07}", client_bucket=b) for n, b in enumerate(networks)])
    queue(database.writing, [callback(client_phone="79169999999", client_bucket="203.0.113.7")])
    database.close()

    outbox = InspectableOutbox.open(database_url)
    assert await outbox.waiting() == 9
    twice = admission_config(Quotas(limits("2/hour"), MANY, MANY, MANY))
    with pytest.raises(TooManyRequestsError):
        await outbox.admit(from_address("2001:db8:0:ff::1", client_phone="79168888888"), None, twice)
    await outbox.admit(from_address("2001:db8:1::1", client_phone="79168888888"), None, twice)
    outbox.close()


async def test_an_erased_number_that_was_queued_again_is_not_called(database_url: str) -> None:
    database = open_database(database_url)
    upgrade(database.writing, "0002")
    gone, waiting = callback(), callback(client_phone="79160000002")
    queue(database.writing, [waiting])
    queue(database.writing, [gone], client_phone=None)
    database.close()

    outbox = InspectableOutbox.open(database_url)
    seen = [await outbox.callback_status(each.id) for each in (gone, waiting)]
    assert [current and current.status for current in seen] == ["failed", "queued"]
    (claim,) = await outbox.claim_due(NOW, max_delay=timedelta(1), lease=timedelta(seconds=40), limit=9, cap=CAP)
    assert claim.callback_id == waiting.id
    outbox.close()


def test_a_start_on_current_tables_imports_neither_alembic_nor_another_database_driver(
    tmp_path: Path,
) -> None:
    """Importing them would cost memory and time at each start."""
    url = f"sqlite:///{tmp_path}/callbacks.db"
    InspectableOutbox.open(url).close()
    start = f"import sys, app.main\nfrom app.outbox.outbox import Outbox\nOutbox.open({url!r}).close()\n"
    script = f"{start}print(sorted({{'alembic', 'psycopg'}} & sys.modules.keys()))"
    command_line = [sys.executable, "-c", script]
    assert subprocess.run(command_line, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_files_of_migrations_are_named_by_their_revisions() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(app.outbox.migrations.__path__)))))
    scripts = ScriptDirectory.from_config(config)
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"m{script.revision}_")
    assert scripts.get_current_head() == max(script.revision for script in scripts.walk_revisions())


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    InspectableOutbox.open(database_url).close()
    database = open_database(database_url)
    with database.writing.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="made by a newer version of this service: update the service"):
        migrate(database.writing)
    database.close()


def test_tables_are_upgraded_while_replicas_work_on_them(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    with closing(psycopg.connect(url.replace("+psycopg", ""), autocommit=True)) as connection:
        # Twice the time that a migration waits before it comes across replicas: theirs must be noticed first.
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET deadlock_timeout = '400ms'")
    database = open_database(url)
    upgrade(database.writing, "0002")
    queue(
        database.writing,
        [callback(client_phone=f"7916{n:07}", client_bucket=f"2001:db8:0:{n:x}::/64") for n in range(1, 301)],
    )
    stop = threading.Event()
    errors: list[Exception] = []
    with ThreadPoolExecutor(3) as replicas:
        working = [replicas.submit(work_as_a_replica, url, stop, errors) for _ in range(3)]
        try:
            migrate(database.writing)
        finally:
            stop.set()
        assert sum(each.result() for each in working) > 0
    assert not errors
    with database.reading.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM callbacks WHERE client_bucket_48 IS NOT NULL")) == 300
    database.close()


def work_as_a_replica(url: str, stop: threading.Event, errors: list[Exception]) -> int:
    """Run transactions that lock in alternating order, as batches may, until `stop`; return how many were committed.

    A transaction that meets a deadlock is retried, as the writer of that version did. The connections have the name
    that versions since 0.2.0 set: earlier ones may not be connected.
    """
    engine = create_engine(url, connect_args=NAMED)
    probe = "UPDATE alembic_version SET version_num = version_num"
    claim = "UPDATE callbacks SET updated_at = updated_at WHERE id = (SELECT min(id) FROM callbacks)"
    done = 0
    while not stop.is_set():
        order = (probe, claim) if done % 2 else (claim, probe)
        try:
            with engine.begin() as connection:
                for statement in order:
                    connection.execute(text(statement))
                    time.sleep(0.05)
            done += 1
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.DeadlockDetected):
                errors.append(error)
                break
    engine.dispose()
    return done


def test_a_migration_is_retried_after_a_deadlock(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    database = open_database(url)
    upgrade(database.writing, "0002")
    deadlocks: list[str] = []
    other = create_engine(url, connect_args=NAMED)
    triggered = threading.Event()

    def cause_deadlock(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        # Another client holds the second table and then requests the first.
        if statement.startswith("LOCK TABLE callbacks") and not triggered.is_set():
            triggered.set()
            connection.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
            holds = other.connect()
            holds.execute(text("LOCK TABLE callbacks IN ROW EXCLUSIVE MODE"))
            thread = threading.Thread(target=lock_the_first_table, args=(holds,))
            thread.start()
            threads.append(thread)

    def lock_the_first_table(holds: Connection) -> None:
        with holds:
            holds.execute(text("SET LOCAL deadlock_timeout = '60s'"))
            holds.execute(text("LOCK TABLE alembic_version IN ROW EXCLUSIVE MODE"))
            deadlocks.append("won")

    threads: list[threading.Thread] = []
    event.listen(database.writing, "before_cursor_execute", cause_deadlock)
    migrate(database.writing)
    for thread in threads:
        thread.join(20)
    assert deadlocks == ["won"]
    other.dispose()
    database.close()


async def test_stored_words_of_the_first_release_are_renamed(database_url: str) -> None:
    database = open_database(database_url)
    upgrade(database.writing, "0008")
    placed, failed, waiting = (callback(client_phone=f"7916000000{number}") for number in range(3))
    queue(database.writing, [placed], status="delivered")
    queue(database.writing, [failed], status="failed", reason="too_old")
    queue(database.writing, [waiting], status="unknown", reason="waits_for_a_person")
    with database.writing.begin() as connection:
        for number, outcome in enumerate(("account", "not_begun", "delivered"), start=1):
            attempt = {"callback_id": placed.id, "number": number, "started_at": NOW, "outcome": outcome}
            connection.execute(insert(attempts).values(attempt))
        answer = {
            "id": placed.id,
            "status": "delivered",
            "created_at": NOW.isoformat(),
            "call_expected_at": None,
            "duplicate": False,
        }
        key = {"scope": "site:shop", "key": "old", "fingerprint": "a" * 64, "callback_id": placed.id}
        connection.execute(insert(request_keys).values(**key, created_at=NOW, answer=answer))
    database.close()

    outbox = InspectableOutbox.open(database_url)
    stored = [await outbox.get(each.id) for each in (placed, failed, waiting)]
    assert [record and (record.callback["status"], record.callback["reason"]) for record in stored] == [
        ("placed", None),
        ("failed", "expired"),
        ("unknown", "awaiting_operator"),
    ]
    assert stored[0] is not None
    assert [attempt["outcome"] for attempt in stored[0].attempts] == ["forbidden", "not_started", "placed"]
    again = await outbox.admit(callback(client_phone="79160000000"), RequestKey("site:shop", "old", "b" * 64))
    assert (again.id, again.status, again.replayed) == (placed.id, "placed", True)
    outbox.close()
