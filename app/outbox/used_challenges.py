"""The challenges that were used: each is valid for one request, over all replicas and restarts."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from app.errors import ConflictError
from app.outbox import upsert
from app.outbox.clock_skew import MAX_CLOCK_SKEW
from app.outbox.schema import used_challenges


@dataclass(frozen=True, slots=True)
class Challenge:
    """A solved challenge: its unique nonce, and when it expires."""

    nonce: str
    expires_at: datetime


def check_unused(connection: Connection, challenge: Challenge, user: str) -> None:
    """Raise `ConflictError` if a challenge was used by another request than `user`. Writes nothing."""
    used_by = select(used_challenges.c.callback_id).where(used_challenges.c.nonce == challenge.nonce)
    # The same request returns when its transaction is retried after a lost connection. It also returns when it is sent
    # again with its request key after a quota refused it.
    if connection.execute(used_by).scalar_one_or_none() not in (None, user):
        raise ConflictError("challenge_used", "This challenge was used by another request: solve a new one.")


def consume(connection: Connection, challenge: Challenge, user: str) -> None:
    """Consume a challenge for the request named `user`, which has at most 36 characters.

    Raises `ConflictError` if another request used it.
    """
    statement = upsert.insert(connection, used_challenges).values(
        nonce=challenge.nonce, callback_id=user, expires_at=challenge.expires_at
    )
    if connection.execute(statement.on_conflict_do_nothing()).rowcount != 1:
        check_unused(connection, challenge, user)


def delete_expired(connection: Connection, now: datetime) -> None:
    """Delete challenges that have expired by the clock of every replica.

    A replica whose clock is behind accepts them for longer.
    """
    connection.execute(delete(used_challenges).where(used_challenges.c.expires_at < now - MAX_CLOCK_SKEW))
