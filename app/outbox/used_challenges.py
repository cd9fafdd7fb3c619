"""Which challenges were used: each is good for one request, over all replicas and restarts."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from app.errors import ConflictError
from app.outbox import upsert
from app.outbox.clock_set_back import CLOCKS_DIFFER
from app.outbox.schema import used_challenges


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that was solved: the name that is its own, and when it is of no use any more."""

    nonce: str
    expires_at: datetime


def check_unused(connection: Connection, challenge: Challenge, user: str) -> None:
    """Raise ConflictError when another request than ``user`` used a challenge. Writes nothing."""
    by = select(used_challenges.c.callback_id).where(used_challenges.c.nonce == challenge.nonce)
    # It is this very request when its work runs again, after a connection was lost during the commit, and when it was
    # refused for a quota and is sent again with its key.
    if connection.execute(by).scalar_one_or_none() not in (None, user):
        raise ConflictError("challenge_used", "This challenge was used by another request: solve a new one.")


def use(connection: Connection, challenge: Challenge, user: str) -> None:
    """Consume a challenge for a request; `user` names it in at most 36 characters. Raises ConflictError: see above."""
    used = upsert.insert(connection, used_challenges).values(
        nonce=challenge.nonce, callback_id=user, expires_at=challenge.expires_at
    )
    if connection.execute(used.on_conflict_do_nothing()).rowcount != 1:
        check_unused(connection, challenge, user)


def forget(connection: Connection, now: datetime) -> None:
    """Drop those that have expired by the clock of every replica: one that is behind takes them for longer."""
    connection.execute(delete(used_challenges).where(used_challenges.c.expires_at < now - CLOCKS_DIFFER))
