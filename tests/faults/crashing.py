"""Lets a process meet its fate at a boundary of a transaction.

A file is read at every boundary. It names one in three words, `record before SIGKILL`: the kind of work (accept, claim,
record), the moment (before or after the commit), and the signal that the process then sends itself. The file is removed
first, so that it strikes once. `readonly` or `full` in it makes SQLite refuse to write as on a read-only or a full
disk, for as long as it says so.

Nothing of the product is changed: SQLAlchemy tells of statements, of commits, and of connections given back.
"""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Pool, event

_KINDS = {"INSERT INTO callbacks": "accept", "INSERT INTO attempts": "claim", "UPDATE attempts SET outcome": "record"}
_KIND = "kinds of work in this transaction"
_COMMITTED = "kinds of work that were committed"
_NO_LIMIT = 0xFFFFFFFE


class Fate:
    """How a test tells a replica what shall happen to it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "fate"

    def tell(self, words: str) -> None:
        """Name it."""
        new = self.file.with_suffix(".new")
        new.write_text(words, encoding="utf-8")
        new.rename(self.file)  # so that nobody reads half of it

    def forget(self) -> None:
        """Let all be well again."""
        self.file.unlink(missing_ok=True)

    @property
    def met(self) -> bool:
        """Tell whether it has happened."""
        return not self.file.exists()


class Crash:
    """Watches the transactions of the process it is installed in."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def install(self) -> None:
        """Listen to every engine of this process."""
        event.listen(Engine, "begin", self._begun)
        event.listen(Engine, "before_cursor_execute", self._executing)
        event.listen(Engine, "commit", self._committing)
        event.listen(Engine, "rollback", lambda connection: connection.info.pop(_COMMITTED, None))
        event.listen(Pool, "checkin", self._given_back)

    def _begun(self, connection: Connection) -> None:
        connection.info[_KIND] = set()
        if connection.dialect.name != "sqlite":
            return
        if "writing" not in connection.info:  # the engine that reads can't write anyway
            connection.info["writing"] = not connection.exec_driver_sql("PRAGMA query_only").scalar_one()
        if connection.info["writing"]:
            told = self._read()
            connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if told == 'readonly' else 'OFF'}")
            # SQLite raises a limit below the present size to that size: there is room for no further page.
            connection.exec_driver_sql(f"PRAGMA max_page_count = {1 if told == 'full' else _NO_LIMIT}")

    def _executing(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        for beginning, kind in _KINDS.items():
            if statement.startswith(beginning):
                connection.info.setdefault(_KIND, set()).add(kind)

    def _committing(self, connection: Connection) -> None:
        kinds = connection.info.pop(_KIND, set())
        connection.info[_COMMITTED] = kinds
        self._strike(kinds, "before")

    def _given_back(self, _connection: Any, record: Any) -> None:
        self._strike(record.info.pop(_COMMITTED, set()), "after")

    def _strike(self, kinds: set[str], moment: str) -> None:
        told = (self._read() or "").split()
        if len(told) == 3 and told[0] in kinds and told[1] == moment:
            self._file.unlink()
            os.kill(os.getpid(), signal.Signals[told[2]])
            time.sleep(0.2)  # SIGSTOP reaches this thread a moment later than the process

    def _read(self) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            return self._file.read_text(encoding="utf-8").strip()
        return None
