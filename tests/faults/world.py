"""One scenario's world: the simulator, the database, and the ledgers read from both for the oracle."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from app.simulator.options import Options
from tests.faults.load import nonce_of
from tests.faults.oracle import CallbackRecord, Executed, Verdict, Wish, judge
from tests.running import Chaser, chaser, values

# Windows so short that a long dose stays quick: a quota looks at every callback within its window.
WIDE = {"per_phone": "100/second", "per_client": "5000/second", "per_client_phones": "5000/second"}
QUICK: dict[str, Any] = {
    "chaser": {"timeout": "1s"},
    "retry_schedule": ["200ms"],
    "resend_after": "1s",
    "calls_per_second": 1000,
    "quotas": WIDE | {"per_site": "5000/second"},
}
_LEASE = 31  # seconds: the deadline of one call above, and the margin of half a minute


class World:
    """A simulator, a database, and settings that bring a replica to both."""

    def __init__(self, folder: Path, far_side: Chaser, database_url: str, overrides: dict[str, Any]) -> None:
        self.folder = folder
        self.far_side = far_side
        self.database_url = database_url
        self.settings = values(folder, far_side.api_url, **({"database_url": database_url} | QUICK | overrides))
        self.read_sqlite = read_sqlite
        self._executed: list[Executed] = []
        self._seen = 0

    @property
    def on_postgresql(self) -> bool:
        """Tell which database it is."""
        return self.database_url.startswith("postgresql")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement past the service. On SQLite it can only read: one process writes there, the service's."""
        if self.on_postgresql:
            with psycopg.connect(self.database_url.replace("+psycopg", ""), autocommit=True) as connection:
                cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
        return self.read_sqlite(self.database_url.removeprefix("sqlite:///"), statement)

    def executed(self) -> list[Executed]:
        """Give all calls that the simulator has executed; each time only the new ones are fetched."""
        for call in self.far_side.calls(since=str(self._seen)):
            self._seen = call["seq"]
            self._executed.append(Executed(nonce_of(call["params"].get("active_page")), call["params"]))
        return list(self._executed)

    def stored(self) -> list[CallbackRecord]:
        """Give all callbacks with the outcomes of their attempts."""
        outcomes: dict[str, tuple[str | None, ...]] = {}
        for callback, outcome in self.sql("SELECT callback_id, outcome FROM attempts ORDER BY callback_id, number"):
            outcomes[callback] = (*outcomes.get(callback, ()), outcome)
        rows = self.sql("SELECT id, active_page, status, due_at FROM callbacks")
        return [
            CallbackRecord(callback, nonce_of(page), status, due_at is not None, outcomes.get(callback, ()))
            for callback, page, status, due_at in rows
        ]

    def outcomes(self, nonce: str) -> tuple[str | None, ...]:
        """Give the outcomes of the one callback with this nonce."""
        (found,) = [row.outcomes for row in self.stored() if row.nonce == nonce]
        return found

    def in_flight(self) -> int:
        """Count what is not at its end yet."""
        ((count,),) = self.sql(
            "SELECT count(*) FROM callbacks WHERE status IN ('queued', 'sending') OR due_at IS NOT NULL"
        )
        return int(count)

    def let_leases_pass(self, *, older_than: float = 4.0) -> None:
        """Do to the leases of dead workers what waiting half a minute does; a live worker's call ends within 1 s.

        ``older_than``: seconds since the claim; 0 when the only worker there was is dead.
        """
        if self.on_postgresql:
            self.sql(
                "UPDATE callbacks SET lease_until = clock_timestamp() "
                f"WHERE lease_until < clock_timestamp() + interval '{_LEASE - older_than} seconds'"
            )

    def settle(self, *, really_wait: bool = False, within: float = 60.0) -> None:
        """Return when all has come to its end. What doesn't, the oracle calls stuck."""
        deadline = time.monotonic() + within + (_LEASE if really_wait else 0)
        while self.in_flight() and time.monotonic() < deadline:
            if not really_wait:
                self.let_leases_pass()
            time.sleep(0.3)

    def verdict(self, wishes: Sequence[Wish]) -> Verdict:
        """Ask the oracle."""
        return judge(wishes, self.stored(), self.executed())


def read_sqlite(path: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask a SQLite database without changing it."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        return database.execute(statement).fetchall()


@contextlib.contextmanager
def world(folder: Path, database_url: str | None = None, **overrides: Any) -> Iterator[World]:
    """Make a world with a simulator of its own; without an address the database is SQLite in the folder."""
    with chaser(Options(ring_seconds=0.1)) as far_side:
        yield World(folder, far_side, database_url or f"sqlite:///{folder / 'callbacks.db'}", overrides)
