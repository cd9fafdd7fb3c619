"""The environment of one scenario: a simulator, a database, and the records of both for the oracle."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from app.simulator.options import Options
from tests.faults.load import nonce_of
from tests.faults.oracle import CallbackRecord, ExecutedCall, RequestRecord, Verdict, judge
from tests.running import Chaser, chaser, values

# Short windows keep a long dose fast: a quota reads every callback in its window.
WIDE = {"per_phone": "100/second", "per_address": "5000/second", "per_address_phones": "5000/second"}
QUICK: dict[str, Any] = {
    "chaser": {"timeout": "1s"},
    "retry_schedule": ["200ms"],
    "resend_after": "1s",
    "calls_per_second": 1000,
    "quotas": WIDE | {"per_site": "5000/second"},
}
_LEASE = 31  # seconds: the timeout of a call above, and the margin of 30 s


class World:
    """A simulator, a database, and settings that connect a replica to both."""

    def __init__(self, folder: Path, far_side: Chaser, database_url: str, overrides: dict[str, Any]) -> None:
        self.folder = folder
        self.far_side = far_side
        self.database_url = database_url
        self.settings = values(folder, far_side.api_url, **({"database_url": database_url} | QUICK | overrides))
        self.read_sqlite = read_sqlite
        self._executed: list[ExecutedCall] = []
        self._last_seq = 0

    @property
    def on_postgresql(self) -> bool:
        """Whether the database is PostgreSQL."""
        return self.database_url.startswith("postgresql")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement directly and return its rows. Read-only on SQLite, where only the service writes."""
        if self.on_postgresql:
            with psycopg.connect(self.database_url.replace("+psycopg", ""), autocommit=True) as connection:
                cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
        return self.read_sqlite(self.database_url.removeprefix("sqlite:///"), statement)

    def executed(self) -> list[ExecutedCall]:
        """Return all calls that the simulator has executed; fetches only the new ones."""
        for call in self.far_side.calls(since=str(self._last_seq)):
            self._last_seq = call["seq"]
            self._executed.append(ExecutedCall(nonce_of(call["params"].get("active_page")), call["params"]))
        return list(self._executed)

    def stored(self) -> list[CallbackRecord]:
        """Return all callbacks with the outcomes of their attempts."""
        outcomes: dict[str, tuple[str | None, ...]] = {}
        for callback, outcome in self.sql("SELECT callback_id, outcome FROM attempts ORDER BY callback_id, number"):
            outcomes[callback] = (*outcomes.get(callback, ()), outcome)
        rows = self.sql("SELECT id, active_page, status, due_at, duplicate_of FROM callbacks")
        return [
            CallbackRecord(callback, nonce_of(page), status, due_at is not None, outcomes.get(callback, ()), original)
            for callback, page, status, due_at, original in rows
        ]

    def outcomes(self, nonce: str) -> tuple[str | None, ...]:
        """Return the outcomes of the one callback with this nonce."""
        (outcomes,) = [row.outcomes for row in self.stored() if row.nonce == nonce]
        return outcomes

    def unfinished(self) -> int:
        """Count the callbacks that are queued, being sent or due."""
        ((count,),) = self.sql(
            "SELECT count(*) FROM callbacks WHERE status IN ('queued', 'sending') OR due_at IS NOT NULL"
        )
        return int(count)

    def expire_leases(self, *, older_than: float = 4.0) -> None:
        """Expire the leases of lost workers on PostgreSQL, instead of waiting 30 s.

        `older_than`: seconds since the claim. The default spares live workers: their calls end within 1 s. Use 0 if no
        worker is alive.
        """
        if self.on_postgresql:
            self.sql(
                "UPDATE callbacks SET lease_until = clock_timestamp() "
                f"WHERE lease_until < clock_timestamp() + interval '{_LEASE - older_than} seconds'"
            )

    def wait_until_finished(self, *, wait_for_leases: bool = False, within: float = 60.0) -> None:
        """Wait until every callback is finished, at most `within` seconds. The oracle reports the others as stuck.

        `wait_for_leases`: let leases expire in real time, for another 31 s.
        """
        deadline = time.monotonic() + within + (_LEASE if wait_for_leases else 0)
        while self.unfinished() and time.monotonic() < deadline:
            if not wait_for_leases:
                self.expire_leases()
            time.sleep(0.3)

    def verdict(self, requests: Sequence[RequestRecord]) -> Verdict:
        """Return the verdict of the oracle on these requests, once the status history agrees with the statuses."""
        assert self.sql(STATUS_WITHOUT_HISTORY) == []
        return judge(requests, self.stored(), self.executed())


STATUS_WITHOUT_HISTORY = """
    SELECT id, status, status_sequence FROM callbacks
    WHERE status_sequence <> (SELECT count(*) FROM status_history WHERE callback_id = callbacks.id)
       OR status <> (SELECT to_status FROM status_history
                     WHERE callback_id = callbacks.id ORDER BY sequence DESC LIMIT 1)
"""
"""Selects callbacks whose history has a gap or doesn't end with their status."""


def read_sqlite(path: str, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on a SQLite database, opened read-only."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        return database.execute(statement).fetchall()


@contextlib.contextmanager
def world(folder: Path, database_url: str | None = None, **overrides: Any) -> Iterator[World]:
    """Run a simulator and yield the environment; without `database_url` it is SQLite in `folder`."""
    with chaser(Options(ring_seconds=0.1)) as far_side:
        yield World(folder, far_side, database_url or f"sqlite:///{folder / 'callbacks.db'}", overrides)
