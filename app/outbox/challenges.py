"""Which challenges were used: each is good for one request, over all replicas and restarts."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from app.errors import Conflict
from app.outbox import upsert
from app.outbox.schema import used_challenges


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that was solved: the name that is its own, and when it is of no use any more."""

    nonce: str
    expires_at: datetime


def use(connection: Connection, challenge: Challenge, callback_id: str) -> None:
    """Let a request use a challenge. Raises Conflict when another one did."""
    used = upsert.insert(connection, used_challenges).values(
        nonce=challenge.nonce, callback_id=callback_id, expires_at=challenge.expires_at
    )
    if connection.execute(used.on_conflict_do_nothing()).rowcount == 1:
        return
    by = select(used_challenges.c.callback_id).where(used_challenges.c.nonce == challenge.nonce)
    # It is this very request when its work runs again, after a connection was lost during the commit.
    if connection.execute(by).scalar_one() != callback_id:
        raise Conflict("challenge_used", "This challenge was used by another request: solve a new one.")


def forget(connection: Connection, now: datetime) -> None:
    """Drop those that have expired."""
    connection.execute(delete(used_challenges).where(used_challenges.c.expires_at < now))
