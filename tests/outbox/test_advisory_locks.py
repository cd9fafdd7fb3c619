"""Advisory locks of values: two transactions that decide about the same phone wait for each other; on PostgreSQL."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from app.admission.locks import lock_names
from app.outbox.advisory_locks import lock, phone_name
from app.outbox.callback import RequestKey
from app.outbox.database import open_database
from tests.admission.deciding import request
from tests.databases import PostgreSQL

_COUNT = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
_WAITING = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


@pytest.fixture
def engine(postgresql: PostgreSQL) -> Iterator[Engine]:
    engine = create_engine(postgresql.new_database(), pool_size=10)
    yield engine
    engine.dispose()


def try_lock(engine: Engine, *names: str) -> bool:
    """Return whether names are free."""
    with engine.connect() as other, other.begin() as transaction:
        other.execute(text("SET LOCAL lock_timeout = '50ms'"))
        try:
            lock(other, names)
        except OperationalError:
            return False
        finally:
            transaction.rollback()
    return True


def test_a_name_is_locked_until_the_end_of_the_transaction(engine: Engine) -> None:
    with engine.connect() as connection:
        for end in ("commit", "rollback"):
            transaction = connection.begin()
            lock(connection, [phone_name("79161234567"), "site:shop"])
            assert not try_lock(engine, phone_name("79161234567"))
            assert not try_lock(engine, "site:blog", "site:shop")
            assert try_lock(engine, phone_name("79161234568"), "site:blog")
            getattr(transaction, end)()
            assert try_lock(engine, phone_name("79161234567"), "site:shop")


def test_a_name_that_occurs_twice_is_locked_once(engine: Engine) -> None:
    with engine.begin() as connection:
        lock(connection, ["a", "b", "a", "a"])
        assert connection.scalar(_COUNT) == 2


def test_no_names_lock_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        lock(connection, [])
        assert connection.scalar(_COUNT) == 0


def test_a_thousand_names_are_locked_by_one_statement(engine: Engine) -> None:
    with engine.begin() as connection:
        lock(connection, (f"phone:{number}" for number in range(1000)))
        assert connection.scalar(_COUNT) == 1000


def test_two_transactions_that_lock_the_same_names_in_any_order_do_not_deadlock(engine: Engine) -> None:
    names = [f"phone:{number}" for number in range(50)]
    ready = threading.Barrier(4)

    def lock_all(number: int) -> None:
        ready.wait(10)
        for turn in range(20):
            with engine.begin() as connection:
                lock(connection, names[:: 1 if (number + turn) % 2 else -1])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lock_all, range(4)))


def test_the_second_transaction_goes_on_when_the_first_ends(engine: Engine) -> None:
    locked = threading.Event()

    def wait_for_it() -> None:
        with engine.begin() as other:
            lock(other, ["phone:1"])
            locked.set()

    with engine.begin() as connection:
        lock(connection, ["phone:1", "phone:2"])
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        while not connection.scalar(_WAITING):
            assert not locked.is_set()
    thread.join(10)
    assert locked.is_set()


def test_sqlite_needs_none(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/callbacks.db")
    with database.writing.begin() as connection:
        statements: list[str] = []
        lock(Recorded(connection, statements), ["phone:1"])  # type: ignore[arg-type]
        assert statements == []
    database.close()


class Recorded:
    """A connection that records what is executed."""

    def __init__(self, connection: Connection, statements: list[str]) -> None:
        self.dialect = connection.dialect
        self._statements = statements

    def execute(self, statement: object, *_: object) -> None:
        self._statements.append(str(statement))


def test_a_request_locks_all_that_its_decision_depends_on() -> None:
    key = RequestKey("site:shop", "key-1", "a" * 64)
    full = request("2001:db8::1", key=key, nonce="n-1", client_phone="79161234567", again="id-1")
    assert set(lock_names(full)) == {
        "phone:79161234567",
        "site:shop",
        "key:site:shop:key-1",
        "nonce:n-1",
        "callback:id-1",
        "address:2001:db8::/64",
        "address:2001:db8::/56",
        "address:2001:db8::/48",
    }
    by_key = request(api_key="crm", client_phone="79161234567")
    assert set(lock_names(by_key)) == {"phone:79161234567", "site:shop"}
