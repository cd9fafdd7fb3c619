"""The aliases of version 0.1.0 become duplicates, and its request keys keep their answers."""

from datetime import timedelta

from sqlalchemy import Connection, select, text

from app.outbox.database import Database
from app.outbox.schema import request_keys, status_history
from tests.outbox.queue_of_0_1 import LATER, NOW, TOMORROW, Queue
from tests.outbox.test_upgrade_to_0_2 import stored


def test_each_alias_is_a_duplicate_of_its_original(connection: Connection, queue: Queue) -> None:
    rows = stored(connection, queue.ids | queue.aliases)
    assert connection.scalar(text("SELECT count(*) FROM callbacks")) == len(rows)
    originals = {
        "first visitor": "queued",
        "second visitor": "queued",
        "of tomorrow": "placed for tomorrow",
        "of the planned": "planned",
        "no time promised": "hours unknown",
        "of the key's": "of a key",
        "of the placed": "placed",
        "of the erased": "erased",
        "of an early version": "failed",
    }
    assert originals.keys() == queue.aliases.keys()
    for name, original in originals.items():
        alias, first = rows[name], rows[original]
        assert (alias.status, alias.duplicate_of) == ("duplicate", first.id)
        assert (alias.due_at, alias.lease_until, alias.lease_token, alias.reason) == (None, None, None, None)
        assert (alias.created_at, alias.updated_at, alias.status_sequence) == (LATER, LATER, 1)
        for same in ("site", "account", "chaser_site_id", "client_phone", "planned_time", "department", "rings_at"):
            assert getattr(alias, same) == getattr(first, same), (name, same)
    assert {row.duplicate_of for name, row in rows.items() if name in queue.ids} == {None}


def test_an_alias_keeps_what_its_visitor_was_told_and_nothing_of_the_first_one(
    connection: Connection, queue: Queue
) -> None:
    rows = stored(connection, queue.aliases)
    assert {name: row.call_expected_at for name, row in rows.items()} == {
        **dict.fromkeys(queue.aliases, NOW),
        "of tomorrow": TOMORROW + timedelta(minutes=5),
        "of the planned": TOMORROW.replace(microsecond=0),
        "no time promised": None,
    }
    assert rows["first visitor"].client_bucket == rows["first visitor"].client_ip == "198.51.100.23"
    assert (rows["second visitor"].client_bucket, rows["second visitor"].client_ip) == ("2001:db8:7:1::/64", None)
    assert rows["of tomorrow"].client_network == "198.51.100.0/24"
    assert rows["second visitor"].client_network == "2001:db8:7::/48"
    assert rows["of an early version"].client_network is None
    for row in rows.values():
        assert (row.consent, row.active_page, row.referrer, row.message_on_ring, row.api_key) == (None,) * 5


def test_duplicates_have_a_history_and_others_none_before_the_upgrade(connection: Connection, queue: Queue) -> None:
    found = connection.execute(select(status_history)).all()
    assert sorted(row.callback_id for row in found) == sorted(queue.aliases.values())
    assert {
        (row.site, row.sequence, row.from_status, row.to_status, row.reason, row.actor, row.created_at) for row in found
    } == {("shop", 1, None, "duplicate", None, "visitor", LATER)}


def test_request_keys_keep_their_answers_and_aliases_are_none(connection: Connection, queue: Queue) -> None:
    keys = request_keys.c
    found = connection.execute(
        select(keys.scope, keys.key, keys.fingerprint, keys.callback_id, keys.created_at, keys.answer)
    ).all()
    told = {(row.scope, row.key): (row.callback_id, row.answer["id"]) for row in found}
    ids, aliases = queue.ids, queue.aliases
    assert told == {
        ("site:shop", "1"): (ids["queued"], ids["queued"]),
        ("site:shop", "2"): (ids["queued"], aliases["first visitor"]),
        ("site:shop", "3"): (ids["placed for tomorrow"], aliases["of tomorrow"]),
        ("key:crm", "1"): (ids["of a key"], ids["of a key"]),
        ("key:crm", "2"): (ids["queued"], ids["queued"]),
    }
    assert {(row.fingerprint, row.created_at) for row in found} == {("legacy", NOW)}


def test_one_key_may_be_stored_with_several_fingerprints(migrated: Database, queue: Queue) -> None:
    with migrated.writing.begin() as connection:
        key = {"scope": "site:shop", "key": "1", "callback_id": queue.ids["placed"], "created_at": NOW, "answer": {}}
        connection.execute(request_keys.insert().values(key | {"fingerprint": "a" * 64}))
    with migrated.reading.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM request_keys WHERE scope = 'site:shop' AND key = '1'")) == 2
