"""Failpoints: a test makes a replica kill or stop itself at the boundary of a transaction.

A file is read at every boundary. It contains three words such as `record before SIGKILL`: the kind of work (accept,
claim, record), `during` its statement or before or after its commit, and the signal that the process sends to itself.
The file is removed first, so that a failpoint triggers once. With `readonly` or `full` in the file SQLite refuses to
write, as on a read-only or full disk, until the file changes.

The code of the service is unchanged: events of SQLAlchemy report statements, commits and returned connections.
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
_MAX_PAGE_COUNT = 0xFFFFFFFE  # SQLite's own limit


class Failpoint:
    """The test's side of a failpoint: activates it for a replica, and sees whether it was triggered."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "failpoint"

    def activate(self, action: str) -> None:
        """Write the action for the replica; see the module."""
        new = self.file.with_suffix(".new")
        new.write_text(action, encoding="utf-8")
        new.rename(self.file)  # atomic: otherwise the replica could read a part of it

    def deactivate(self) -> None:
        """Remove the action."""
        self.file.unlink(missing_ok=True)

    @property
    def triggered(self) -> bool:
        """Whether the replica has executed the action."""
        return not self.file.exists()


class FailpointListener:
    """The replica's side of a failpoint: listens to the transactions of its process."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def install(self) -> None:
        """Register the listeners for every engine of this process."""
        event.listen(Engine, "begin", self._on_begin)
        event.listen(Engine, "before_cursor_execute", self._on_execute)
        event.listen(Engine, "commit", self._on_commit)
        event.listen(Engine, "rollback", lambda connection: connection.info.pop(_COMMITTED, None))
        event.listen(Pool, "checkin", self._on_checkin)

    def _on_begin(self, connection: Connection) -> None:
        connection.info[_KIND] = set()
        if connection.dialect.name != "sqlite":
            return
        if "writing" not in connection.info:  # the read engine is read-only at all times
            connection.info["writing"] = not connection.exec_driver_sql("PRAGMA query_only").scalar_one()
        if connection.info["writing"]:
            action = self._read()
            connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if action == 'readonly' else 'OFF'}")
            # SQLite raises a limit below the current size to that size: no page can be added.
            connection.exec_driver_sql(f"PRAGMA max_page_count = {1 if action == 'full' else _MAX_PAGE_COUNT}")

    def _on_execute(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        for beginning, kind in _KINDS.items():
            if statement.startswith(beginning):
                connection.info.setdefault(_KIND, set()).add(kind)
                self._trigger({kind}, "during")

    def _on_commit(self, connection: Connection) -> None:
        kinds = connection.info.pop(_KIND, set())
        connection.info[_COMMITTED] = kinds
        self._trigger(kinds, "before")

    def _on_checkin(self, _connection: Any, record: Any) -> None:
        self._trigger(record.info.pop(_COMMITTED, set()), "after")

    def _trigger(self, kinds: set[str], moment: str) -> None:
        action = (self._read() or "").split()
        if len(action) == 3 and action[0] in kinds and action[1] == moment:
            self._file.unlink()
            os.kill(os.getpid(), signal.Signals[action[2]])
            time.sleep(0.2)  # SIGSTOP stops this thread with a delay; otherwise it would go on to commit

    def _read(self) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            return self._file.read_text(encoding="utf-8").strip()
        return None
