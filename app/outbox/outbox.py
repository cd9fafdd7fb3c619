"""The asynchronous interface of the outbox: durable writes, reads with a timeout, and a wake-up for the worker."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from async_lru import alru_cache
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.concurrency import run_in_threadpool

from app.errors import UnavailableError
from app.logs import event
from app.outbox import blocklist_store
from app.outbox.blocklist_store import Blocked
from app.outbox.database import Database, driver_message
from app.outbox.group_commit import BatchWork, GroupCommit, storage_unavailable
from app.outbox.handover import open_to_work

log = logging.getLogger(__name__)

T = TypeVar("T")
Item = TypeVar("Item")


class Outbox:
    """All stored data. Callers pass functions of the connection, such as `partial(claims.expire, now=now)`.

    Methods raise `UnavailableError` if the database can't store or answer, or not in time.
    """

    def __init__(self, database: Database, *, retry_for: float = 5.0, timeout: float = 12.0) -> None:
        """Use an open database with its tables. `retry_for` in seconds: see `GroupCommit`.

        `timeout`: seconds before a read or a batched write fails. A frozen server breaks no connection by itself. Other
        writes wait: what was sent to Chaser has to be recorded, however late.
        """
        self._database = database
        self._writer = GroupCommit(database.writing, retry_for=retry_for)
        self._wakeup = asyncio.Event()
        self._timeout = timeout
        self._blocked = alru_cache(maxsize=1, ttl=blocklist_store.FRESH)(partial(self.read, blocklist_store.blocked))

    @classmethod
    def open(cls, url: str) -> "Outbox":
        """Open the database and migrate it. Raises `DatabaseError`."""
        return cls(open_to_work(url))

    @property
    def is_exclusive(self) -> bool:
        """Return whether no other process can be working on this database."""
        return self._database.is_exclusive

    def close(self) -> None:
        """Finish the queued writes and close the database."""
        self._writer.close()
        self._database.close()

    async def write(self, work: Callable[[Connection], T], *, isolated: bool = False) -> T:
        """Run work in a transaction, with `isolated` in one of its own; return its result after the commit.

        See `GroupCommit.run`.
        """
        return await self._writer.run(work, isolated=isolated)

    async def write_batched(self, batch: BatchWork[Item, T], item: Item) -> T:
        """Run `batch` once for all items queued for it, and return this one's result. See `GroupCommit.run_batched`.

        After a timeout it may still be stored.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._writer.run_batched(batch, item)
        except TimeoutError:
            event(log, "outbox.write_timeout", logging.ERROR, seconds=self._timeout)
            raise storage_unavailable() from None

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a query in a read-only transaction and return its result."""

        def read() -> T:
            try:
                with self._database.reading.begin() as connection:
                    return work(connection)
            except (DBAPIError, PoolTimeout) as error:
                cause = driver_message(error) if isinstance(error, DBAPIError) else None
                event(log, "outbox.read_failed", logging.ERROR, error=type(error).__name__, cause=cause)
                raise _storage_unreadable() from None

        try:
            async with asyncio.timeout(self._timeout):
                # An abandoned thread keeps its connection until it ends, so the pool bounds their number.
                return await run_in_threadpool(read)
        except TimeoutError:
            event(log, "outbox.read_timeout", logging.ERROR, seconds=self._timeout)
            raise _storage_unreadable() from None

    async def blocked(self) -> Blocked:
        """Return the blocklist as it was at most `blocklist_store.FRESH` seconds ago."""
        return await self._blocked()

    async def change_blocklist(self, work: Callable[[Connection], T]) -> T:
        """Run work that changes the blocklist like `write`, so that `blocked` reads it again."""
        try:
            return await self.write(work)
        finally:
            self._blocked.cache_clear()

    def notify(self) -> None:
        """Wake the worker that waits in `wait`."""
        self._wakeup.set()

    async def wait(self, seconds: float) -> None:
        """Return at once if a callback was accepted by this process, otherwise after `seconds` at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._wakeup.wait()
        except TimeoutError:
            pass
        self._wakeup.clear()


def _storage_unreadable() -> UnavailableError:
    return UnavailableError("storage_unavailable", "The request could not be answered.", retry_after=5)
