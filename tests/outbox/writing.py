"""Work for tests of the writer: it fails if it runs a second time after a commit."""

import asyncio
import threading

from sqlalchemy import Connection, text

from app.outbox.database import Database
from app.outbox.group_commit import GroupCommit

TABLE = text("CREATE TABLE t (a INTEGER PRIMARY KEY)")


class Paused:
    """A writer that is busy, so that what is queued meanwhile shares the next transaction."""

    def __init__(self, writer: GroupCommit) -> None:
        self._writer = writer
        self._arrived, self._go_on = threading.Event(), threading.Event()

    async def __aenter__(self) -> None:
        self._running = asyncio.ensure_future(self._writer.run(self._block))
        await asyncio.to_thread(self._arrived.wait, 10)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._go_on.set()
        await self._running

    def _block(self, _: Connection) -> None:
        self._arrived.set()
        self._go_on.wait(10)


def stored(database: Database) -> list[int]:
    with database.reading.begin() as connection:
        return list(connection.scalars(text("SELECT a FROM t ORDER BY a")))


def insert(connection: Connection, number: int) -> int:
    """Insert a number, which fails the second time: this work must not run again once it was committed."""
    connection.execute(text("INSERT INTO t VALUES (:a)"), {"a": number})
    return number
