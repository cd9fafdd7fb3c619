"""Query plans of a batch: every statement uses an index, so large tables cost no time, on both databases."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from app.admission.batch import admit_batch
from app.outbox import bulk
from app.outbox.database import Database
from app.outbox.schema import attempts, callbacks
from tests.admission.deciding import DAY, KEY, NOW, config, request, result
from tests.databases import PostgreSQL
from tests.outbox.factories import InspectableOutbox, new_callback
from tests.outbox.factories import callback as made

ROWS = 20_000
AGE = 30 * DAY
"""The rows are spread over this time."""
QUOTAS = {
    "per_address": "20/minute;100/hour",
    "per_address_phones": "5/minute;60/hour",
    "per_site": "100/hour;500/day",
    "held_per_site": "200/day",
}
RULES = config(QUOTAS, per_phone="3/hour;5/day")
CALLBACK = "pk_callbacks"
PLANS = {
    "request keys": ("k.fingerprint", {"pk_request_keys", CALLBACK}),
    "nonces": ("SELECT nonce, callback_id FROM used", {"pk_used_challenges"}),
    "callbacks of phones": (
        "WITH named",
        {CALLBACK, "ix_callbacks_client_phone_duplicate_of", "ix_callbacks_again_chain", "pk_attempts"},
    ),
    "requests of addresses, and held ones": (
        "AS value",
        {
            "ix_callbacks_client_bucket_created_at",
            "ix_callbacks_client_bucket_56_created_at",
            "ix_callbacks_client_bucket_48_created_at",
            "ix_callbacks_site_created_at_held",
        },
    ),
    "rings of sites": (
        "AS counts FROM",
        {"ix_callbacks_site_rings_at_status", "ix_callbacks_client_network_site_rings_at"},
    ),
    "merges": ("UPDATE callbacks SET give_up_at", {CALLBACK}),
}
"""A part of each statement, and the indexes that it uses."""


def many() -> Iterator[dict[str, Any]]:
    """Yield rows of a busy site and 49 others, most of them placed; three of each phone and 40 of each address."""
    for number in range(ROWS):
        at = NOW - AGE * (number / ROWS)
        address = f"10.{number // 40 % 256}.{number // 10240}.7"
        one = made(
            created_at=at,
            site="shop" if number % 2 else f"site-{number % 50}",
            client_phone=f"7{9_000_000_000 + number // 3}",
            client_bucket=address,
            client_network=f"{address.rpartition('.')[0]}.0/24",
        )
        kinds = {7: {"status": "failed"}, 8: {"held_for": "honeypot", "status": "held", "rings_at": None}}
        changes = kinds.get(number % 100, {"status": "duplicate", "duplicate_of": one.id} if number % 4 == 0 else {})
        values = {"status": "placed", "due_at": None, "updated_at": at, "status_sequence": 1} | changes
        yield dict(new_callback(one).values) | values


def fill(connection: Connection) -> None:
    rows = list(many())
    bulk.insert_rows(connection, callbacks.name, tuple(callbacks.c), rows)
    made_at_once = [
        {"callback_id": row["id"], "number": 1, "started_at": row["created_at"], "outcome": "placed"}
        | {"rings_at": row["created_at"], "rings_until": row["created_at"]}
        for row in rows
        if row["status"] == "placed"
    ]
    bulk.insert_rows(connection, attempts.name, tuple(attempts.c), made_at_once)


@contextmanager
def filled(url: str) -> Iterator[Database]:
    """Open a database with 20,000 callbacks that was not analysed, like one that has grown since its first day."""
    outbox = InspectableOutbox.open(url)
    with outbox.database.writing.begin() as connection:
        fill(connection)
    yield outbox.database
    outbox.close()


@pytest.fixture(scope="module")
def on_postgresql(postgresql: PostgreSQL) -> Iterator[Database]:
    with filled(postgresql.new_database()) as database:
        yield database


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "postgresql":
        yield request.getfixturevalue("on_postgresql")
    else:
        with filled(f"sqlite:///{tmp_path_factory.mktemp('plans')}/callbacks.db") as database:
            yield database


def batch() -> list[Any]:
    """Return requests for known phones of known addresses, each of them with all that can be looked up."""
    with_everything = [
        request(
            f"10.{number}.0.7",
            key=KEY,
            nonce=f"n-{number}",
            client_phone=f"7{9_000_000_000 + number}",
            again="01a20000-0000-7000-8000-000000000000",
        )
        for number in range(10)
    ]
    ipv6 = [request(f"2001:db8:{number}::1", client_phone=f"7{9_000_000_100 + number}") for number in range(5)]
    return [*with_everything, *ipv6, request(client_phone="79160000001"), request(client_phone="79160000001")]


def executed(database: Database) -> dict[str, tuple[str, Any]]:
    """Admit a batch, roll it back, and return the statements and their parameters by their names in `PLANS`."""
    found: dict[str, tuple[str, Any]] = {}

    def record(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        found.update({name: (statement, parameters) for name, (part, _) in PLANS.items() if part in statement})

    event.listen(database.writing, "before_cursor_execute", record)
    with database.writing.connect() as connection, connection.begin() as transaction:
        decisions = admit_batch(connection, batch(), RULES)
        transaction.rollback()
    event.remove(database.writing, "before_cursor_execute", record)
    assert {result(one) for one in decisions} > {"queued", "duplicate"}
    return found


def plan_of(connection: Connection, statement: str, parameters: Any) -> str:
    """Return the plan of a statement as the writer executes it."""
    if connection.dialect.name == "sqlite":
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        return "\n".join(step.detail for step in steps)
    # The writer's prepared statements have generic plans, which know no values.
    for number, name in enumerate(parameters, start=1):
        statement = statement.replace(f"%({name})s", f"${number}")
    cursor = connection.connection.cursor()
    cursor.execute(f"EXPLAIN (GENERIC_PLAN) {statement}")
    return "\n".join(step[0] for step in cursor.fetchall())


@pytest.mark.parametrize("name", PLANS)
def test_a_statement_uses_its_indexes_and_scans_no_table(database: Database, name: str) -> None:
    statement, parameters = executed(database)[name]
    with database.writing.connect() as connection:
        plan = plan_of(connection, statement, parameters)
        connection.rollback()
    found = re.findall(r"(?:USING (?:COVERING )?INDEX|using|Bitmap Index Scan on) (\w+)", plan)
    indexes = {re.sub(r"sqlite_autoindex_(\w+)_1", r"pk_\1", index) for index in found}
    assert indexes == PLANS[name][1], plan
    assert not re.search(r"^SCAN (?!json_each|named)|Seq Scan", plan, re.MULTILINE), plan


def test_postgresql_reads_few_rows_for_a_batch(on_postgresql: Database) -> None:
    """A plan may use an index and still read all of it."""
    table = "'callbacks'::regclass"
    by_index = f"SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_index WHERE indrelid = {table}"
    rows_read = text(f"SELECT pg_stat_get_xact_tuples_returned({table}), ({by_index})")
    with on_postgresql.writing.connect() as connection, connection.begin() as transaction:
        before = connection.execute(rows_read).one()
        admit_batch(connection, batch(), RULES)
        after = connection.execute(rows_read).one()
        transaction.rollback()
    assert after[0] == before[0], "none without an index"
    assert 0 < after[1] - before[1] < ROWS / 10, "those of the busy site within two days, and few others"
