"""Group commit: one thread writes, and work that was queued during a transaction shares the next one.

Work is a function of the connection. If one piece of a transaction fails, the transaction is rolled back. Each piece
then runs again in its own transaction, so that it fails alone. If PostgreSQL's reply to COMMIT is lost, the marker of
the transaction shows whether it was committed: see `commit_markers`. So work that was committed never runs again.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.errors import ServiceError, UnavailableError
from app.logs import event
from app.outbox.commit_markers import RETRY_DELAY, CommitMarker, OutcomeUnknownError
from app.outbox.database import READ_ONLY, driver_message

log = logging.getLogger(__name__)

T = TypeVar("T")
Item = TypeVar("Item")
Work = Callable[[Connection], Any]
BatchWork = Callable[[Connection, Sequence[Item]], Sequence[T | ServiceError]]

MAX_JOBS = 256
"""Jobs in one transaction."""
_MAX_QUEUED = 10_000

# Errors that a retry may overcome, with a new connection if the old one is lost. By SQLSTATE (appendix A of
# PostgreSQL's manual): lost connections, deadlocks, a server that shuts down or starts, an idle transaction timeout, a
# read-only transaction as on a standby, too many connections.
_TRANSIENT = ("08", "40", "57P", "25P03", READ_ONLY, "53300")
# Errors of a transaction that is too large: no memory for its locks, or a limit of the server's.
_TOO_LARGE = ("53200", "54")


class _Job:
    """Work with its caller's future. Work of a batch has an `item`, and shares its function with others."""

    __slots__ = ("batch", "future", "isolated", "item", "loop", "result", "work")

    def __init__(
        self,
        work: Work | None = None,
        *,
        isolated: bool = False,
        batch: BatchWork[Any, Any] | None = None,
        item: Any = None,
    ) -> None:
        self.work = work
        self.isolated = isolated
        self.batch = batch
        self.item = item
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.loop = self.future.get_loop()
        self.result: Any = None


class GroupCommit:
    """The only writer of the database in this process."""

    def __init__(self, engine: Engine, *, retry_for: float = 5.0) -> None:
        """Start the thread.

        `retry_for` is the number of seconds for which work is retried on an unavailable server before its callers get
        an error.
        """
        self._engine = engine
        self._retry_for = retry_for
        self._marker = CommitMarker(engine) if engine.dialect.name == "postgresql" else None
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_MAX_QUEUED)
        self._closing = threading.Lock()
        self._closed = False
        # A daemon thread: an orderly shutdown closes it, and a crashing process must not wait for it.
        self._thread = threading.Thread(target=self._run, name="outbox-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Connection], T], *, isolated: bool = False) -> T:
        """Run work in a transaction and return its result once the commit is on disk.

        With `isolated` the work gets a transaction of its own, after the shared one, so that it may take advisory locks
        and holds its locks only briefly.

        Raises what the work raised, in which case nothing of it is written. Raises `UnavailableError` if the queue is
        full or the database can't store it.
        """
        result: T = await self._enqueue(_Job(work, isolated=isolated))
        return result

    async def run_batched(self, batch: BatchWork[Item, T], item: Item) -> T:
        """Run `batch` once for all items queued for it, in the order of their arrival; return this one's result.

        It runs before the other work of the transaction, so that its advisory locks come before any row lock. It
        returns one result for each item. A `ServiceError` among them is raised to the caller of that item alone, and
        the others are committed. Raises like `run`.
        """
        result: T = await self._enqueue(_Job(batch=batch, item=item))
        return result

    def close(self) -> None:
        """Finish the queued work, then stop the thread."""
        with self._closing:
            self._closed = True
        self._jobs.put(None)
        self._thread.join()

    async def _enqueue(self, job: _Job) -> Any:
        try:
            with self._closing:
                if self._closed:
                    raise storage_unavailable()  # otherwise the job would wait for ever behind the end of the queue
                self._jobs.put_nowait(job)
        except queue.Full:
            raise UnavailableError(
                "overloaded", "Too many requests at once. Please try again.", retry_after=5
            ) from None
        return await job.future

    def _run(self) -> None:
        while True:
            jobs, ending = self._next_batch()
            for together in _transactions(jobs, batches_apart=self._marker is not None):
                error = self._attempt(together)
                if len(together) > 1 and error is not None and not is_database_wide(error):
                    for job in together:
                        self._attempt([job])
                _complete(together)
            if ending:
                return

    def _next_batch(self) -> tuple[list[_Job], bool]:
        job = self._jobs.get()
        jobs: list[_Job] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) == MAX_JOBS:
                return jobs, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _attempt(self, jobs: list[_Job]) -> Exception | None:
        """Run jobs in a transaction, retrying for a while if the server is unavailable, and set the result of each.

        Returns the error that made it fail, None if it was committed.
        """
        retry_until = time.monotonic() + self._retry_for
        while True:
            try:
                self._commit(jobs, retry_until)
            except Exception as error:  # noqa: BLE001  # the thread must outlive any work
                if is_transient(error) and time.monotonic() < retry_until:
                    time.sleep(RETRY_DELAY)
                    continue
                translated = translate_error(error)
                for job in jobs:
                    job.result = translated
                return error
            return None

    def _commit(self, jobs: list[_Job], retry_until: float) -> None:
        """Run jobs in a transaction. Raises `OutcomeUnknownError`, and any other error if nothing was committed."""
        committing = False
        try:
            with self._engine.begin() as connection:
                _execute(connection, jobs)
                if self._marker is not None:
                    self._marker.write(connection)
                committing = True
        except Exception as error:
            if self._marker is None or not committing or _is_refused(error):
                raise
            if not self._was_committed(self._marker, retry_until):
                raise
        if self._marker is not None:
            self._marker.advance()

    @staticmethod
    def _was_committed(marker: CommitMarker, retry_until: float) -> bool:
        try:
            committed = marker.is_committed(retry_until)
        except OutcomeUnknownError:
            marker.advance()  # otherwise a later lost transaction could be taken for this one
            raise
        event(log, "outbox.commit_reply_lost", logging.WARNING, committed=committed)
        return committed


def storage_unavailable() -> UnavailableError:
    """Return the error for work that the database could not store, or not in time."""
    return UnavailableError("storage_unavailable", "The request could not be stored. Please try again.", retry_after=5)


def is_transient(error: Exception) -> bool:
    """Return whether a retry may succeed: the server is unavailable, or has closed the connection.

    For SQLite the `busy_timeout` has waited already.
    """
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", "")  # only psycopg's errors have one
    if not state:  # None: raised on the client's side, there is no connection
        return state is None and isinstance(error, OperationalError)
    return error.connection_invalidated or state.startswith(_TRANSIENT)


def is_database_wide(error: Exception) -> bool:
    """Return whether the database is unavailable, locked, full or read-only, so that all work would fail."""
    if isinstance(error, DBAPIError) and (getattr(error.orig, "sqlstate", None) or "").startswith(_TOO_LARGE):
        return False
    return is_transient(error) or isinstance(error, OperationalError | PoolTimeout | OutcomeUnknownError)


def translate_error(error: Exception) -> Exception:
    """Log an error of the database, and return the error for the caller."""
    cause = driver_message(error) if isinstance(error, DBAPIError) else None
    event(log, "outbox.write_failed", logging.ERROR, error=type(error).__name__, cause=cause)
    if isinstance(error, DBAPIError | PoolTimeout | OutcomeUnknownError):
        return storage_unavailable()
    return error


def _transactions(jobs: list[_Job], *, batches_apart: bool) -> list[list[_Job]]:
    """Return the jobs of each transaction.

    With `batches_apart`, work of batches has a transaction of its own: it holds advisory locks, and two processes that
    lock rows for other work beside them could deadlock.
    """
    shared = [job for job in jobs if not job.isolated]
    batched = [job for job in shared if job.batch is not None] if batches_apart else []
    others = [job for job in shared if not batched or job.batch is None]
    return [together for together in (batched, others) if together] + [[job] for job in jobs if job.isolated]


def _execute(connection: Connection, jobs: list[_Job]) -> None:
    batches: dict[BatchWork[Any, Any], list[_Job]] = {}
    for job in jobs:
        if job.batch is not None:
            batches.setdefault(job.batch, []).append(job)
    for batch, together in batches.items():
        results = batch(connection, [job.item for job in together])
        for job, result in zip(together, results, strict=True):
            job.result = result
    for job in jobs:
        if job.work is not None:
            try:
                job.result = job.work(connection)
            except ServiceError as refused:  # raised before any write, so the transaction stays valid
                job.result = refused


def _is_refused(error: Exception) -> bool:
    """Return whether the server has refused a COMMIT: it gave a reason, and the connection is still there."""
    if not isinstance(error, DBAPIError):
        return False
    return bool(getattr(error.orig, "sqlstate", None)) and not error.connection_invalidated


def _complete(jobs: list[_Job]) -> None:
    def hand_over() -> None:
        for job in jobs:
            if job.future.done():  # the caller was cancelled
                continue
            if isinstance(job.result, BaseException):
                job.future.set_exception(job.result)
            else:
                job.future.set_result(job.result)

    try:
        jobs[0].loop.call_soon_threadsafe(hand_over)
    except RuntimeError:
        # The event loop is closed, so no caller is left. Committed work stays committed.
        event(log, "outbox.results_discarded", logging.WARNING, jobs=len(jobs))
