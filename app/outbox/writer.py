"""Group commit: one thread writes, and work that was queued during a transaction shares the next one.

Work is a function of the connection, and must be repeatable. If one piece of a batch fails, the batch is rolled back.
Each piece then runs again in its own transaction, so that it fails alone. If the connection is lost during COMMIT, the
outcome is unknown, and the work runs again as well.
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


# Errors that a retry may overcome, with a new connection if the old one is lost. By SQLSTATE (appendix A of
# PostgreSQL's manual): lost connections, deadlocks, a server that shuts down or starts, an idle transaction timeout, a
# read-only transaction as on a standby, too many connections.
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

        `patience` is the number of seconds for which work is retried on an unavailable server before its callers get an
        error.
        """
        self._engine = engine
        self._patience = patience
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_WAITING)
        # A daemon thread: an orderly shutdown closes the writer, and a crashing process must not wait for it.
        self._thread = threading.Thread(target=self._run, name="outbox-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Connection], T], *, first: Work | None = None, alone: bool = False) -> T:
        """Run work in a transaction and return its result once the commit is on disk.

        `first` runs at the beginning of the transaction, for example to acquire a lock. Work of one kind passes the
        same function: if several are in one transaction, only the last runs. With `alone` the work gets a transaction
        of its own, after the shared one, so that its locks are held only briefly.

        Raises what the work raised, in which case nothing of it is written. Raises `UnavailableError` if the queue is
        full or the database can't store it.
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
        """Finish the queued work, then stop the thread."""
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
        """Run a batch, retrying for a while if the server is unavailable, and set the result of each job.

        Returns the error that made it fail, None if it was committed.
        """
        patient_until = time.monotonic() + self._patience
        while True:
            try:
                self._commit(batch)
            except Exception as error:  # noqa: BLE001  # the thread must outlive any work
                if _passes(error) and time.monotonic() < patient_until:
                    # Perhaps the commit succeeded and only the reply was lost. Repeated work detects what it wrote
                    # before.
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
                except ServiceError as refused:  # raised before any write, so the batch stays valid
                    job.result = refused


def storage_unavailable() -> UnavailableError:
    """Return the error for work that the database could not store, or not in time."""
    return UnavailableError("storage_unavailable", "The request could not be stored. Please try again.", retry_after=5)


def _transactions(batch: list[_Job]) -> list[list[_Job]]:
    shared = [job for job in batch if not job.alone]
    return ([shared] if shared else []) + [[job] for job in batch if job.alone]


def _passes(error: Exception) -> bool:
    """Return whether a retry may succeed: the server is unavailable, or has closed the connection.

    For SQLite the `busy_timeout` has waited already.
    """
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", "")  # only psycopg's errors have one
    if not state:  # None: raised on the client's side, there is no connection
        return state is None and isinstance(error, OperationalError)
    return error.connection_invalidated or state.startswith(_PASSES)


def _concerns_all(error: Exception) -> bool:
    """Return whether the database is unavailable, locked, full or read-only, so that all work would fail."""
    return _passes(error) or isinstance(error, OperationalError | PoolTimeout)


def _told(error: Exception) -> Exception:
    """Log an error of the database, and return the error for the caller."""
    cause = driver_message(error) if isinstance(error, DBAPIError) else None
    event(log, "outbox.write_failed", logging.ERROR, error=type(error).__name__, cause=cause)
    if isinstance(error, DBAPIError | PoolTimeout):
        return storage_unavailable()
    return error


def _resolve(batch: list[_Job]) -> None:
    def hand_over() -> None:
        for job in batch:
            if job.future.done():  # the caller was cancelled
                continue
            if isinstance(job.result, BaseException):
                job.future.set_exception(job.result)
            else:
                job.future.set_result(job.result)

    try:
        batch[0].loop.call_soon_threadsafe(hand_over)
    except RuntimeError:
        # The event loop is closed, so no caller is left. Committed work stays committed.
        event(log, "outbox.results_discarded", logging.WARNING, jobs=len(batch))
