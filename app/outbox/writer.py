"""Group commit: one thread writes, and what has gathered while it wrote shares the next commit.

A piece of work is a function of the connection. It must be repeatable: when one piece of a batch breaks, the batch is
rolled back and every piece is run again in a transaction of its own, so that no piece suffers for another; and when
the connection is lost during a commit, nobody knows whether it was executed, and the work runs again as well.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.errors import ServiceError, UnavailableError
from app.logs import event
from app.outbox.database import READ_ONLY, driver_message

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Connection], Any]

_BATCH = 256
_WAITING = 10_000
_PAUSE = 0.1


# What passes when the work runs again, on a new connection where the old one is gone. By SQLSTATE (appendix A of
# PostgreSQL's manual): connections lost, deadlocks, a server that goes down or comes up, a transaction that stood still
# for too long, one that is read-only as on the standby of a failover, too many connections.
_PASSES = ("08", "40", "57P", "25P03", READ_ONLY, "53300")


class _Job:
    __slots__ = ("alone", "first", "future", "loop", "result", "work")

    def __init__(self, work: Work, first: Work | None, alone: bool, future: "asyncio.Future[Any]") -> None:
        self.work = work
        self.first = first
        self.alone = alone
        self.future = future
        self.loop = future.get_loop()
        self.result: Any = None


class Writer:
    """The only writer of the database in this process."""

    def __init__(self, engine: Engine, *, patience: float = 5.0) -> None:
        """Start the thread.

        ``patience``: seconds for which a server that is away is tried again before the waiting callers are told.
        """
        self._engine = engine
        self._patience = patience
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_WAITING)
        # A daemon: whoever ends in order closes the writer, and a process that breaks must not live on for it.
        self._thread = threading.Thread(target=self._run, name="outbox-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Connection], T], *, first: Work | None = None, alone: bool = False) -> T:
        """Run work in a transaction and return its result once the commit is on disk.

        ``first`` runs at the beginning of the transaction, before any other work in it, such as to take a lock. Works
        of one kind give the same one: of several in a transaction only the last runs.
        ``alone`` work has a transaction of its own, after what has gathered: what it locks is held no longer than that.

        Raises what work raised (its transaction then wrote nothing of it), or UnavailableError when the database could
        not take it.
        """
        job = _Job(work, first, alone, asyncio.get_running_loop().create_future())
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise UnavailableError(
                "overloaded", "Too many requests at once. Please try again.", retry_after=5
            ) from None
        result: T = await job.future
        return result

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            batch, ending = self._gather()
            for together in _transactions(batch):
                error = self._attempt(together)
                if len(together) > 1 and error is not None and not _concerns_all(error):
                    for job in together:
                        self._attempt([job])
                _resolve(together)
            if ending:
                return

    def _gather(self) -> tuple[list[_Job], bool]:
        job = self._jobs.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == _BATCH:
                return batch, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _attempt(self, batch: list[_Job]) -> Exception | None:
        """Run a batch, again and again while the server is away for a moment; give each job its result."""
        patient_until = time.monotonic() + self._patience
        while True:
            try:
                self._commit(batch)
            except Exception as error:  # noqa: BLE001  # the thread must outlive any work
                if _passes(error) and time.monotonic() < patient_until:
                    # Perhaps the commit was executed and its answer lost: work finds what it did the first time.
                    time.sleep(_PAUSE)
                    continue
                told = _told(error)
                for job in batch:
                    job.result = told
                return error
            return None

    def _commit(self, batch: list[_Job]) -> None:
        with self._engine.begin() as connection:
            first = next((job.first for job in reversed(batch) if job.first is not None), None)
            if first is not None:
                first(connection)
            for job in batch:
                try:
                    job.result = job.work(connection)
                except ServiceError as refused:  # raised before anything was written, so the batch may stand
                    job.result = refused


def storage_unavailable() -> UnavailableError:
    """Make what a caller is told whose work the database could not take, or not in time."""
    return UnavailableError("storage_unavailable", "The request could not be stored. Please try again.", retry_after=5)


def _transactions(batch: list[_Job]) -> list[list[_Job]]:
    shared = [job for job in batch if not job.alone]
    return ([shared] if shared else []) + [[job] for job in batch if job.alone]


def _passes(error: Exception) -> bool:
    """Tell whether a server is away, or has thrown us out. SQLite has been waited for by its busy_timeout."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", "")  # only psycopg's errors have one
    if not state:  # None was said by the client's side: there is no connection
        return state is None and isinstance(error, OperationalError)
    return error.connection_invalidated or state.startswith(_PASSES)


def _concerns_all(error: Exception) -> bool:
    """Tell whether the database is away, locked, full or read-only, rather than one piece of work wrong."""
    return _passes(error) or isinstance(error, OperationalError | PoolTimeout)


def _told(error: Exception) -> Exception:
    """Turn what the database did into what the caller is told."""
    cause = driver_message(error) if isinstance(error, DBAPIError) else None
    event(log, "outbox.write_failed", logging.ERROR, error=type(error).__name__, cause=cause)
    if isinstance(error, DBAPIError | PoolTimeout):
        return storage_unavailable()
    return error


def _resolve(batch: list[_Job]) -> None:
    def hand_over() -> None:
        for job in batch:
            if job.future.done():  # the caller went away
                continue
            if isinstance(job.result, BaseException):
                job.future.set_exception(job.result)
            else:
                job.future.set_result(job.result)

    try:
        batch[0].loop.call_soon_threadsafe(hand_over)
    except RuntimeError:
        # The event loop is closed: nobody waits any more. What was committed stays committed.
        event(log, "outbox.results_discarded", logging.WARNING, jobs=len(batch))
