"""The asynchronous interface of the outbox: durable writes, reads with a timeout, and a wake-up for the worker."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from async_lru import alru_cache
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.concurrency import run_in_threadpool

from app.errors import UnavailableError
from app.logs import event
from app.outbox import (
    blocklist_store,
    claims,
    operator_actions,
    queries,
    retention,
    widget_release_store,
)
from app.outbox.blocklist_store import Blocked, Entry
from app.outbox.callback import Status
from app.outbox.claims import AttemptOutcome, Claim, SiteKey
from app.outbox.commit_markers import delete_stale_markers
from app.outbox.database import Database, driver_message
from app.outbox.group_commit import BatchWork, GroupCommit, storage_unavailable
from app.outbox.handover import open_to_work
from app.outbox.phone_callbacks import PhoneCap
from app.outbox.public_status import CallbackStatus, PublicStatus, callback_status, public_status
from app.outbox.queries import CallbackFilter, CallbackRecord
from app.outbox.queue_stats import QueueDepth, queue_stats
from app.outbox.resends import finish_with_resend, is_resend
from app.outbox.schema import callbacks
from app.outbox.transitions import OPERATOR

log = logging.getLogger(__name__)

T = TypeVar("T")
Item = TypeVar("Item")
_ERASE_BATCH = 1000
_ERASE_PAUSE = 0.05  # seconds


class Outbox:
    """All stored data. Methods raise `UnavailableError` if the database can't store or answer, or not in time."""

    def __init__(self, database: Database, *, retry_for: float = 5.0, timeout: float = 12.0) -> None:
        """Use an open database with its tables. `retry_for` in seconds: see `GroupCommit`.

        `timeout`: seconds before a write or read fails. A frozen server breaks no connection by itself.
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

    def close(self) -> None:
        """Finish the queued writes and close the database."""
        self._writer.close()
        self._database.close()

    async def write(self, work: Callable[[Connection], T], *, isolated: bool = False) -> T:
        """Run work in a transaction, with `isolated` in one of its own; return its result after the commit."""
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

    async def callback_status(self, callback_id: str) -> CallbackStatus | None:
        """Return the site and the status of a callback, None if unknown. See `public_status.callback_status`."""
        return await self.read(partial(callback_status, callback_id=callback_id))

    async def public_status(self, callback_id: str, now: datetime) -> PublicStatus | None:
        """Return what a visitor may know of a callback, None for nothing. See `public_status.public_status`."""
        return await self.read(partial(public_status, callback_id=callback_id, now=now))

    async def get(self, callback_id: str) -> CallbackRecord | None:
        """Return a callback with its attempts and personal data, None if there is none. See `queries.get`."""
        return await self.read(partial(queries.get, callback_id=callback_id))

    async def list_callbacks(self, filters: CallbackFilter, before_id: str | None, limit: int) -> list[CallbackRecord]:
        """Return up to `limit` callbacks, newest first. See `queries.list_callbacks`."""
        return await self.read(partial(queries.list_callbacks, filters=filters, before_id=before_id, limit=limit))

    async def blocked(self) -> Blocked:
        """Return the blocklist as it was at most `blocklist_store.FRESH` seconds ago."""
        return await self._blocked()

    async def blocklist(self) -> list[Entry]:
        """Return the entries of the blocklist, newest first."""
        return await self.read(blocklist_store.entries)

    async def block(self, entry: str, note: str | None, now: datetime) -> datetime:
        """Block a phone or a network, and return since when it is blocked. See `blocklist_store.add`."""
        try:
            return await self.write(partial(blocklist_store.add, entry=entry, note=note, now=now))
        finally:
            self._blocked.cache_clear()

    async def unblock(self, entry: str) -> bool:
        """Delete an entry of the blocklist; return False if there is none."""
        try:
            return await self.write(partial(blocklist_store.remove, entry=entry))
        finally:
            self._blocked.cache_clear()

    async def claim_due(
        self,
        now: datetime,
        *,
        max_delay: timedelta,
        lease: timedelta,
        limit: int,
        paused: Collection[str] = (),
        paused_sites: Collection[SiteKey] = (),
        only: SiteKey | None = None,
        token: str | None = None,
        cap: PhoneCap,
    ) -> list[Claim]:
        """Claim up to `limit` due callbacks for the duration of `lease`, with a new token if none is given.

        See `claims.claim_due`.
        """
        claim = partial(claims.claim_due, now=now, max_delay=max_delay, lease=lease, limit=limit, cap=cap)
        claim = partial(claim, paused=paused, paused_sites=paused_sites, only=only)
        return await self.write(partial(claim, token=token or str(uuid.uuid4())))

    async def finish_attempt(
        self, claim: Claim, result: AttemptOutcome, now: datetime, cap: PhoneCap
    ) -> bool | datetime:
        """Store the outcome of a claim; return False if it is no longer held. See `claims.finish_attempt`.

        A resend for which the phone has no room is left out: see `resends`.
        """
        if is_resend(result):
            finish = partial(finish_with_resend, claim=claim, result=result, now=now, cap=cap)
            return await self.write(finish, isolated=True)
        return await self.write(partial(claims.finish_attempt, claim=claim, result=result, now=now))

    async def cancel(self, callback_id: str, now: datetime, actor: str = OPERATOR) -> None:
        """Cancel a callback that is not being sent at this moment. See `operator_actions.cancel`."""
        await self.write(partial(operator_actions.cancel, callback_id=callback_id, now=now, actor=actor))

    async def orphaned(self, now: datetime) -> list[Claim]:
        """Return claims without a live worker: all of them where only one process can run, else expired leases."""
        return await self.read(partial(claims.orphaned, now=None if self._database.is_exclusive else now))

    async def expire(self, now: datetime) -> list[str]:
        """Fail callbacks past `give_up_at` and return their ids; delete old challenges, cancel blocked phones."""
        return await self.write(partial(_expire, now=now))

    async def hold_unknown(self, now: datetime, holds: Callable[[str], bool]) -> list[str]:
        """Hold unknown callbacks for an operator, at sites for which `holds` returns true; return their ids."""
        return await self.write(partial(claims.hold_unknown, now=now, holds=holds))

    async def erase(self, now: datetime, keep: timedelta = timedelta(0)) -> int:
        """Erase the personal data of finished callbacks older than `keep`, in batches; return their number."""
        before = now - keep
        erased = await self._in_batches(partial(retention.erase_batch, before=before, now=now, limit=_ERASE_BATCH))
        await self._in_batches(partial(retention.delete_keys_batch, before=before, limit=_ERASE_BATCH))
        await self._in_batches(partial(retention.delete_duplicates_batch, now=now, limit=_ERASE_BATCH))
        await self.write(delete_stale_markers)
        return erased

    async def save_release(self, version: str, bodies: Mapping[str, bytes], now: datetime) -> None:
        """Store the files of a release of the widget. See `widget_release_store.save`."""
        await self.write(partial(widget_release_store.save, version=version, bodies=bodies, now=now))

    async def release_versions(self) -> frozenset[str]:
        """Return all versions of the widget that were ever served. See `widget_release_store.release_versions`."""
        return await self.read(widget_release_store.release_versions)

    async def load_release(self, version: str) -> dict[str, bytes]:
        """Return the files of a release of the widget, empty if unknown. See `widget_release_store.load`."""
        return await self.read(partial(widget_release_store.load, version=version))

    async def waiting(self) -> int:
        """Count the callbacks that wait for an attempt."""
        return await self.read(lambda connection: connection.execute(_WAITING).scalar_one())

    async def queue_stats(self) -> dict[Status, QueueDepth]:
        """Return the depth of the queue by status. See `queue_stats.queue_stats`."""
        return await self.read(queue_stats)

    async def check(self) -> None:
        """Check that the database accepts a write: one that is full or read-only still answers queries.

        In a transaction of its own: all replicas write the same row, so it must not stay locked while other work runs.
        """
        await self._writer.run(lambda connection: connection.execute(_WRITE_PROBE), isolated=True)

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

    async def _in_batches(self, batch: Callable[[Connection], int]) -> int:
        total = last = await self.write(batch)
        while last == _ERASE_BATCH:
            await asyncio.sleep(_ERASE_PAUSE)
            last = await self.write(batch)
            total += last
        return total

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


# Rewrites the one row of `alembic_version` with its own value.
_WRITE_PROBE = text("UPDATE alembic_version SET version_num = version_num")
_WAITING = select(func.count()).where(callbacks.c.due_at.is_not(None))


def _storage_unreadable() -> UnavailableError:
    return UnavailableError("storage_unavailable", "The request could not be answered.", retry_after=5)


def _expire(connection: Connection, now: datetime) -> list[str]:
    retention.delete_used_challenges(connection, now)
    blocklist_store.cancel_waiting(connection, now)
    return claims.expire(connection, now)
