"""The outbox as the rest of the service sees it: asynchronous, durable, and with a bell for the worker."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool

from app.errors import Unavailable
from app.logs import event
from app.outbox import accepting, delivering, steering
from app.outbox.accepting import AcceptRules
from app.outbox.callback import Accepted, Callback, Glimpse, RequestKey, Status
from app.outbox.database import Database, driver_words, open_database
from app.outbox.delivering import Claim, Record
from app.outbox.migrate import migrate
from app.outbox.schema import attempts, callbacks, request_keys
from app.outbox.writer import Writer

log = logging.getLogger(__name__)

T = TypeVar("T")
_FINISHED = (Status.DELIVERED, Status.FAILED, Status.CANCELLED, Status.UNKNOWN)


class Outbox:
    """Everything that is written down. Methods raise Unavailable when the database can't take or tell it."""

    def __init__(self, database: Database, *, patience: float = 5.0) -> None:
        """Work on an open database with its tables. ``patience`` in seconds: see Writer."""
        self._database = database
        self._writer = Writer(database.writing, before_batch=database.before_batch, patience=patience)
        self._bell = asyncio.Event()

    @classmethod
    def open(cls, url: str) -> "Outbox":
        """Open the database and bring its tables up to date. Raises DatabaseUnusable."""
        database = open_database(url)
        try:
            migrate(database.writing)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Finish what is being written and close the database."""
        self._writer.close()
        self._database.close()

    async def accept(self, callback: Callback, key: RequestKey | None, rules: AcceptRules) -> Accepted:
        """Store a callback, or find the one that stands for it; returns after the commit. See accepting.accept."""
        accepted = await self._write(partial(accepting.accept, callback=callback, request_key=key, rules=rules))
        if not accepted.replayed and not accepted.duplicate:
            self.ring()
        return accepted

    async def glimpse(self, callback_id: str) -> Glimpse | None:
        """Give what anybody who knows the id may see, or None."""
        return await self._read(partial(_glimpse, callback_id=callback_id))

    async def claim_due(
        self, now: datetime, *, furthest: timedelta, lease: timedelta, limit: int, paused: Collection[str] = ()
    ) -> list[Claim]:
        """Take up to ``limit`` callbacks that are due, and hold them for ``lease``. See delivering.claim_due."""
        claim = partial(delivering.claim_due, now=now, furthest=furthest, lease=lease, limit=limit, paused=paused)
        return await self._write(partial(claim, token=str(uuid.uuid4())))

    async def record(self, claim: Claim, result: Record, now: datetime) -> bool:
        """Write down what became of a claim; False when it is no longer held."""
        return await self._write(partial(delivering.record, claim=claim, result=result, now=now))

    async def release(self, callback_id: str, now: datetime, give_up_after: timedelta) -> None:
        """Let a held callback be sent. See steering.release."""
        await self._write(partial(steering.release, callback_id=callback_id, now=now, give_up_after=give_up_after))
        self.ring()

    async def retry(self, callback_id: str, now: datetime, give_up_after: timedelta) -> None:
        """Send a failed or unknown callback again. See steering.retry."""
        await self._write(partial(steering.retry, callback_id=callback_id, now=now, give_up_after=give_up_after))
        self.ring()

    async def cancel(self, callback_id: str, now: datetime) -> None:
        """End a callback that is not being sent this moment. See steering.cancel."""
        await self._write(partial(steering.cancel, callback_id=callback_id, now=now))

    async def abandoned(self, now: datetime, *, at_start: bool) -> list[Claim]:
        """Give claims that a dead process left.

        Where only one process can be, those are all that stand at its start, and none later: no clock is asked.
        Elsewhere those whose lease has run out.
        """
        if self._database.one_process and not at_start:
            return []
        return await self._read(partial(delivering.abandoned, now=None if self._database.one_process else now))

    async def expire(self, now: datetime) -> list[str]:
        """Give up what has waited too long; returns the ids of what failed by that."""
        return await self._write(partial(delivering.expire, now=now))

    async def erase(self, before: datetime) -> int:
        """Erase personal data of finished callbacks created before a time; returns how many."""
        return await self._write(partial(_erase, before=before))

    async def waiting(self) -> int:
        """Count the callbacks that wait for an attempt."""
        return await self._read(lambda connection: connection.execute(_WAITING).scalar_one())

    async def check(self) -> None:
        """Prove that the database takes a transaction that writes: a full or read-only one still answers questions."""
        await self._write(lambda connection: connection.execute(_REWRITE))

    def ring(self) -> None:
        """Wake whoever waits for work."""
        self._bell.set()

    async def wait_for_work(self, seconds: float) -> None:
        """Return at once when something was accepted here, else after some seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            pass
        self._bell.clear()

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._writer.run(work)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        def read() -> T:
            try:
                with self._database.reading.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                event(log, "outbox.read_failed", logging.ERROR, error=type(error).__name__, cause=driver_words(error))
                raise Unavailable("not_readable", "The request could not be answered.", retry_after=5) from None

        return await run_in_threadpool(read)


# The one row that is always there; it is written anew with what it holds.
_REWRITE = text("UPDATE alembic_version SET version_num = version_num")
_WAITING = select(func.count()).where(callbacks.c.due_at.is_not(None))


def _glimpse(connection: Connection, callback_id: str) -> Glimpse | None:
    seen = select(callbacks.c.status, callbacks.c.call_expected_at)
    row = connection.execute(seen.where(callbacks.c.id == callback_id)).one_or_none()
    if row is None:
        alias = (request_keys.c.scope == accepting.ALIAS) & (request_keys.c.key == callback_id)
        row = connection.execute(seen.join(request_keys).where(alias)).one_or_none()
    return None if row is None else Glimpse(callback_id, row.status, row.call_expected_at)


def _erase(connection: Connection, before: datetime) -> int:
    old = (
        (callbacks.c.created_at < before)
        & callbacks.c.client_phone.is_not(None)
        & callbacks.c.due_at.is_(None)
        & callbacks.c.status.in_(_FINISHED)
    )
    # Chaser's answers are kept word for word, and may repeat the number.
    answered = attempts.c.callback_id.in_(select(callbacks.c.id).where(old))
    connection.execute(update(attempts).where(answered).values(answer=None))
    personal = ("client_phone", "client_ip", "active_page", "referrer", "consent", "client_bucket")
    erased = connection.execute(update(callbacks).where(old).values(dict.fromkeys(personal)))
    connection.execute(delete(request_keys).where(request_keys.c.created_at < before))
    return erased.rowcount
