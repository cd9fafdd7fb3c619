"""The service's own secret: random, and the same for all processes; the one before is recognised for ten minutes."""

import threading
from contextlib import closing
from datetime import timedelta

from sqlalchemy import Connection, insert, select, update

from app.outbox.database import Database, open_database
from app.outbox.migrate import migrate
from app.outbox.schema import LEGACY_FINGERPRINT, request_keys, service_secrets
from app.outbox.secret_store import Secrets, load_secrets
from tests.databases import PostgreSQL
from tests.outbox.factories import NOW, InspectableOutbox
from tests.outbox.queue_of_0_1 import make_queue, upgrade

LEGACY = b"what version 0.1 signed with"
SETTING = b"a secret key in the settings, of 32 characters"
MINUTE = timedelta(minutes=1)


def load(connection: Connection, secret_key: bytes | None = None, minutes: int = 0) -> Secrets:
    return load_secrets(connection, secret_key, lambda: LEGACY, NOW + minutes * MINUTE)


async def test_it_is_random_and_stays_the_same(outbox: InspectableOutbox) -> None:
    first, second = [await outbox.write(load) for _ in range(2)]
    assert first == second
    assert len(first.hashing) == len(first.signing) == 32
    assert first.hashing != first.signing
    assert first.previous is None
    await outbox.write(lambda connection: connection.execute(service_secrets.delete()))
    other = await outbox.write(load)
    assert {first.hashing, first.signing}.isdisjoint({other.hashing, other.signing})


async def test_a_secret_key_in_the_settings_wins_and_is_not_stored(outbox: InspectableOutbox) -> None:
    own = await outbox.write(load)
    chosen = await outbox.write(lambda connection: load(connection, SETTING, 1))
    assert chosen.signing not in (own.signing, own.hashing)
    assert chosen.hashing == own.hashing
    rows = await outbox.read(lambda connection: connection.execute(select(service_secrets)).all())
    assert len(rows) == 1
    assert SETTING.decode() not in str(rows)
    assert SETTING.hex() not in str(rows)


async def test_what_signed_before_is_known_for_ten_minutes(outbox: InspectableOutbox) -> None:
    own = await outbox.write(load)
    for minutes, previous in ((1, (own.signing, NOW + MINUTE)), (10, (own.signing, NOW + MINUTE)), (11, None)):
        again = await outbox.write(lambda connection, at=minutes: load(connection, SETTING, at))
        assert again.previous == previous
    assert (await outbox.write(lambda connection: load(connection, None, 12))).signing == own.signing


def test_an_upgraded_database_knows_what_version_0_1_signed(migrated: Database) -> None:
    for minutes, previous in ((0, (LEGACY, NOW)), (9, (LEGACY, NOW)), (10, None)):
        with migrated.writing.begin() as connection:
            assert load(connection, minutes=minutes).previous == previous


def test_request_keys_hashed_with_a_derived_secret_match_by_site_and_phone(database_url: str) -> None:
    """Those that came with several requests can't be told apart by that, and stay as they are."""
    make_queue(database_url)
    keys = request_keys.c
    with closing(open_database(database_url)) as database:
        upgrade(database.writing, "0013")
        with database.writing.begin() as connection:
            connection.execute(update(request_keys).values(fingerprint="derived"))
            shared = connection.execute(select(request_keys).limit(1)).one()._asdict()
            connection.execute(insert(request_keys).values(shared | {"fingerprint": "another"}))
        migrate(database.writing)
        with database.reading.begin() as connection:
            found = connection.execute(select(keys.scope, keys.key, keys.fingerprint)).all()
    of_shared = {row.fingerprint for row in found if (row.scope, row.key) == (shared["scope"], shared["key"])}
    assert of_shared == {"derived", "another"}
    assert {row.fingerprint for row in found} - of_shared == {LEGACY_FINGERPRINT}


def test_processes_that_start_at_once_have_the_same(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    outboxes = [InspectableOutbox.open(url) for _ in range(4)]
    found: list[Secrets] = []
    together = threading.Barrier(len(outboxes))

    def start(outbox: InspectableOutbox) -> None:
        together.wait()
        with outbox.database.writing.begin() as connection:
            found.append(load(connection))

    threads = [threading.Thread(target=start, args=[outbox]) for outbox in outboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outbox in outboxes:
        outbox.close()
    assert len(found) == len(outboxes)
    assert len({secrets.hashing for secrets in found}) == len({secrets.signing for secrets in found}) == 1
