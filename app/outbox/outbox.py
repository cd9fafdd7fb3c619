"""The outbox as the rest of the service sees it: asynchronous, durable, and with a bell for the worker."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.concurrency import run_in_threadpool

from app.errors import UnavailableError
from app.logs import event
from app.outbox import (
    accepting,
    blocklist_store,
    claims,
    night_queue,
    operator_actions,
    queries,
    retention,
    used_challenges,
    widget_release_store,
)
from app.outbox.accepting import AdmissionConfig
from app.outbox.blocklist_store import Blocked, Entry
from app.outbox.callback import AcceptResult, Callback, CallbackStatus, RequestKey, Status
from app.outbox.claims import AttemptOutcome, Claim, SiteKey
from app.outbox.clock_set_back import redate_requests, redate_waits
from app.outbox.database import Database, driver_message
from app.outbox.moved import open_to_work
from app.outbox.queries import CallbackFilter, CallbackRecord
from app.outbox.queue_stats import QueueDepth, queue_stats
from app.outbox.quotas import tell_of_budget
from app.outbox.repeats import answered, glimpse
from app.outbox.schema import callbacks
from app.outbox.shared_look import SharedLook
from app.outbox.transitions import OPERATOR
from app.outbox.used_challenges import Challenge
from app.outbox.writer import Work, Writer, storage_unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
_ERASED_AT_ONCE = 1000
_ERASE_PAUSE = 0.05  # seconds


class Outbox:
    """Everything that is written down. Methods raise UnavailableError when the database can't take or tell it."""

    def __init__(self, database: Database, *, patience: float = 5.0, timeout: float = 12.0) -> None:
        """Use an open database with its tables. `patience` in seconds: see `Writer`.

        `timeout`: seconds before a write or read fails. A frozen server breaks no connection by itself.
        """
        self._database = database
        self._writer = Writer(database.writing, patience=patience)
        self._wakeup = asyncio.Event()
        self._clock_showed: datetime | None = None
        self._answer_within = timeout
        self._blocked = SharedLook(partial(self._read, blocklist_store.blocked))

    @classmethod
    def open(cls, url: str) -> "Outbox":
        """Open the database and bring its tables up to date. Raises DatabaseError."""
        return cls(open_to_work(url))

    def close(self) -> None:
        """Finish what is being written and close the database."""
        self._writer.close()
        self._database.close()

    async def accept(
        self, callback: Callback, key: RequestKey | None, rules: AdmissionConfig, challenge: Challenge | None = None
    ) -> AcceptResult:
        """Insert a callback or find its duplicate; return after the commit. After a timeout it may still be stored."""
        accept = partial(accepting.accept, callback=callback, request_key=key, rules=rules, challenge=challenge)
        first = partial(self._lock_admission, now=callback.created_at)
        try:
            async with asyncio.timeout(self._answer_within):
                accepted, spent = await self._write(accept, first=first)
        except TimeoutError:
            event(log, "outbox.write_timeout", logging.ERROR, seconds=self._answer_within)
            raise storage_unavailable() from None
        tell_of_budget(spent, rules.told)
        if not accepted.replayed and not accepted.duplicate:
            self.notify()
        return accepted

    async def answered(self, key: RequestKey) -> AcceptResult | None:
        """Give what a request was answered when it was accepted, None if it wasn't. See repeats.answered."""
        return await self._read(partial(answered, request_key=key))

    async def callback_status(self, callback_id: str, now: datetime | None = None) -> CallbackStatus | None:
        """Give where a callback is in its life, or None. ``now``: as a stranger may see it. See repeats.glimpse."""
        return await self._read(partial(glimpse, callback_id=callback_id, now=now))

    async def get(self, callback_id: str) -> CallbackRecord | None:
        """Give a callback with its attempts, for those who may see all of it. See queries.get."""
        return await self._read(partial(queries.get, callback_id=callback_id))

    async def list_callbacks(self, wanted: CallbackFilter, before_id: str | None, limit: int) -> list[CallbackRecord]:
        """Give up to ``limit`` callbacks, newest first. See queries.list_callbacks."""
        return await self._read(partial(queries.list_callbacks, wanted=wanted, before_id=before_id, limit=limit))

    async def blocked(self) -> Blocked:
        """Give what is blocked, by a reading that ended blocklist_store.FRESH seconds ago at the most."""
        return await self._blocked.answer(blocklist_store.FRESH)

    async def blocklist(self) -> list[Entry]:
        """Give the entries of the blocklist, newest first."""
        return await self._read(blocklist_store.entries)

    async def block(self, entry: str, note: str | None, now: datetime) -> datetime:
        """Block a phone or a network, and give since when it is. See blocklist_store.add."""
        try:
            return await self._write(partial(blocklist_store.add, entry=entry, note=note, now=now))
        finally:
            self._blocked.forget()

    async def unblock(self, entry: str) -> bool:
        """Take an entry out of the blocklist; False when it has no such one."""
        removed = False

        def remove(connection: Connection) -> bool:
            # Once it was there, it stays so when this runs again: perhaps the first time was committed after all.
            nonlocal removed
            removed = blocklist_store.remove(connection, entry) or removed
            return removed

        try:
            return await self._write(remove)
        finally:
            self._blocked.forget()

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
    ) -> list[Claim]:
        """Take up to ``limit`` callbacks that are due, and hold them for ``lease``. See claims.claim_due.

        ``token``: to be used again until a claiming comes back; None: a new one.
        """
        claim = partial(claims.claim_due, now=now, max_delay=max_delay, lease=lease, limit=limit, paused=paused)
        return await self._write(partial(claim, paused_sites=paused_sites, only=only, token=token or str(uuid.uuid4())))

    async def finish_attempt(self, claim: Claim, result: AttemptOutcome, now: datetime) -> bool | datetime:
        """Write down what became of a claim; False when it is no longer held. See claims.finish_attempt."""
        return await self._write(partial(claims.finish_attempt, claim=claim, result=result, now=now))

    async def release(self, callback_id: str, now: datetime, give_up_after: timedelta, actor: str = OPERATOR) -> None:
        """Let a held callback be sent. See operator_actions.release."""
        await self._send(operator_actions.release, callback_id, now, actor, give_up_after)

    async def retry(self, callback_id: str, now: datetime, give_up_after: timedelta, actor: str = OPERATOR) -> None:
        """Send a failed or unknown callback again. See operator_actions.retry."""
        await self._send(operator_actions.retry, callback_id, now, actor, give_up_after)

    async def cancel(self, callback_id: str, now: datetime, actor: str = OPERATOR) -> None:
        """End a callback that is not being sent this moment. See operator_actions.cancel."""
        await self._write(partial(operator_actions.cancel, callback_id=callback_id, now=now, actor=actor))

    async def orphaned(self, now: datetime) -> list[Claim]:
        """Return claims without a live worker: all of them where only one process can run, else expired leases."""
        return await self._read(partial(claims.orphaned, now=None if self._database.is_exclusive else now))

    async def expire(self, now: datetime) -> list[str]:
        """Fail callbacks past `give_up_at` and return their ids; delete used challenges, cancel blocked phones.

        It runs every second or so, so it also detects a clock that was set back. See `clock_set_back`.
        """
        gone = await self._write(partial(_expire, now=now, seen=self._clock_showed))
        self._clock_showed = now
        return gone

    async def hold_unknown(self, now: datetime, holds: Callable[[str], bool]) -> list[str]:
        """Let unknown callbacks of the sites that ``holds`` names wait for a person; returns their ids."""
        return await self._write(partial(claims.hold_unknown, now=now, holds=holds))

    async def erase(self, now: datetime, keep: timedelta = timedelta(0)) -> int:
        """Erase the personal data of finished callbacks older than `keep`, in batches; return their number."""
        before = now - keep
        erased = await self._in_batches(partial(retention.erase_batch, before=before, now=now, limit=_ERASED_AT_ONCE))
        await self._in_batches(partial(retention.delete_keys_batch, before=before, limit=_ERASED_AT_ONCE))
        return erased

    async def next_place(self, site: str, start: datetime) -> int:
        """Count who waits for a site's calls that begin at ``start``. See night_queue.next_place."""
        return await self._read(partial(night_queue.next_place, site=site, start=start))

    async def save_release(self, version: str, bodies: Mapping[str, bytes], now: datetime) -> None:
        """Keep the files of a release of the widget. See widget_release_store.keep."""
        await self._write(partial(widget_release_store.keep, version=version, bodies=bodies, now=now))

    async def release_versions(self) -> frozenset[str]:
        """Give the versions of the widget that were ever handed out. See widget_release_store.release_versions."""
        return await self._read(widget_release_store.release_versions)

    async def load_release(self, version: str) -> dict[str, bytes]:
        """Give the files of a release of the widget, none if it isn't known. See widget_release_store.kept."""
        return await self._read(partial(widget_release_store.kept, version=version))

    async def waiting(self) -> int:
        """Count the callbacks that wait for an attempt."""
        return await self._read(lambda connection: connection.execute(_WAITING).scalar_one())

    async def queue_stats(self) -> dict[Status, QueueDepth]:
        """Give what waits, by its state. See queue.queue."""
        return await self._read(queue_stats)

    async def check(self) -> None:
        """Prove that the database takes a transaction that writes: a full or read-only one still answers questions.

        Alone, for all replicas write the same row: none may hold it while it waits for something else.
        """
        await self._writer.run(lambda connection: connection.execute(_REWRITE), alone=True)

    def notify(self) -> None:
        """Wake whoever waits for work."""
        self._wakeup.set()

    async def wait(self, seconds: float) -> None:
        """Return at once when something was accepted here, else after some seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._wakeup.wait()
        except TimeoutError:
            pass
        self._wakeup.clear()

    async def _send(
        self, send: Callable[..., None], callback_id: str, now: datetime, actor: str, give_up_after: timedelta
    ) -> None:
        decision = partial(send, callback_id=callback_id, now=now, actor=actor, give_up_after=give_up_after)
        await self._write(decision, first=partial(self._lock_admission, now=now))
        self.notify()

    def _lock_admission(self, connection: Connection, now: datetime) -> None:
        self._database.lock_admission(connection)
        redate_requests(connection, now, self._clock_showed)

    async def _in_batches(self, some: Callable[[Connection], int]) -> int:
        total = last = await self._write(some)
        while last == _ERASED_AT_ONCE:
            await asyncio.sleep(_ERASE_PAUSE)
            last = await self._write(some)
            total += last
        return total

    async def _write(self, work: Callable[[Connection], T], *, first: Work | None = None) -> T:
        return await self._writer.run(work, first=first)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        def read() -> T:
            try:
                with self._database.reading.begin() as connection:
                    return work(connection)
            except (DBAPIError, PoolTimeout) as error:
                cause = driver_message(error) if isinstance(error, DBAPIError) else None
                event(log, "outbox.read_failed", logging.ERROR, error=type(error).__name__, cause=cause)
                raise _not_readable() from None

        try:
            async with asyncio.timeout(self._answer_within):
                # A thread that is given up holds its connection until it ends, so the pool bounds how many there are.
                return await run_in_threadpool(read)
        except TimeoutError:
            event(log, "outbox.read_timeout", logging.ERROR, seconds=self._answer_within)
            raise _not_readable() from None


# The one row that is always there; it is written anew with what it holds.
_REWRITE = text("UPDATE alembic_version SET version_num = version_num")
_WAITING = select(func.count()).where(callbacks.c.due_at.is_not(None))


def _not_readable() -> UnavailableError:
    return UnavailableError("storage_unavailable", "The request could not be answered.", retry_after=5)


def _expire(connection: Connection, now: datetime, seen: datetime | None) -> list[str]:
    redate_requests(connection, now, seen)
    if seen is None or now < seen:  # at the start nobody knows
        redate_waits(connection, now)
    used_challenges.forget(connection, now)
    blocklist_store.cancel_waiting(connection, now)
    return claims.expire(connection, now)
