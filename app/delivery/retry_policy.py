"""What follows from an attempt: one pure function, from what is known to the next state.

The bound it keeps: a callback is sent again only after an attempt that proves nothing was executed, or once after an
unknown one where the site allows that. So second calls are never more than unknown outcomes. And what may have rung
is never failed: after an unknown outcome a callback ends as delivered or stays unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from app.outbox.callback import Status

EXPIRED: Final = "expired"
"""Why a callback failed that nobody could deliver in time."""


class Outcome(StrEnum):
    """What an attempt came to."""

    PLACED = "placed"  # 200: Chaser has it
    REFUSED = "refused"  # 404 and other 4xx: it will never do
    FORBIDDEN = "forbidden"  # 403: the account's fault or the site's, not the visitor's; nothing was executed
    UNAUTHORIZED = "unauthorized"  # 401: the account's fault, or this callback is signed wrongly; nothing was executed
    NOT_SENT = "not_sent"  # proved not executed
    NOT_STARTED = "not_started"  # the service ended before the call began
    UNKNOWN = "unknown"  # it may have been executed


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a site wants its callbacks retried. ``schedule``: the waits after the first, second… try not sent, or 401."""

    schedule: Sequence[timedelta]
    on_unknown: Literal["resend_once", "hold"]
    resend_after: timedelta = timedelta(seconds=60)
    jitter: float = 0.2
    max_retry_after: timedelta = timedelta(minutes=15)  # that Chaser may ask for

    @property
    def max_delay(self) -> timedelta:
        """How far ahead a next attempt can be due at the most."""
        return max(self.resend_after, max(*self.schedule, self.max_retry_after) * (1 + self.jitter))


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state. ``due_at``: when to try again, None for never; ``reason``: a stable code for people."""

    status: Status
    due_at: datetime | None
    reason: str | None


def decide(
    outcome: Outcome,
    *,
    history: Sequence[str],
    give_up_at: datetime,
    retry_after: float | None,
    now: datetime,
    random: float,
    rules: RetryPolicy,
) -> Decision:
    """Decide what becomes of a callback.

    ``history``: outcomes of the earlier attempts, oldest first. ``retry_after``: seconds Chaser asked for, if it did.
    ``random``: from 0 up to 1, spreads the retries of many callbacks. Waiting never goes beyond ``give_up_at``.
    """
    may_have_rung = Outcome.UNKNOWN in history
    if outcome is Outcome.PLACED:
        return Decision(Status.PLACED, None, None)
    if outcome is Outcome.UNKNOWN:
        return _unknown(history, give_up_at, now, rules)
    if outcome is Outcome.REFUSED:
        return _ended(may_have_rung, "resend_refused", "refused_by_chaser")
    if now >= give_up_at:
        return _ended(may_have_rung, "expired_unknown", EXPIRED)
    # A resend that was not sent is still to be resent. Under `hold` it was a person who sent again, and that stands.
    status = Status.UNKNOWN if may_have_rung and rules.on_unknown == "resend_once" else Status.QUEUED
    if outcome is Outcome.FORBIDDEN:
        # Due at once: what is refused is paused, and the callback goes first when it is not any more.
        return Decision(status, now, "account_refused")
    if outcome is Outcome.NOT_STARTED:
        return Decision(status, now, "not_started")
    # A 401 waits too: the account may be well, and this callback alone be signed in a way that Chaser doesn't.
    reason = "not_sent" if outcome is Outcome.NOT_SENT else "account_refused"
    return Decision(status, min(now + _wait(outcome, history, retry_after, random, rules), give_up_at), reason)


def _ended(may_have_rung: bool, unknown: str, failed: str) -> Decision:
    """End a callback without a delivery, for the one reason or the other."""
    return Decision(Status.UNKNOWN, None, unknown) if may_have_rung else Decision(Status.FAILED, None, failed)


def _unknown(history: Sequence[str], give_up_at: datetime, now: datetime, rules: RetryPolicy) -> Decision:
    if rules.on_unknown == "hold":
        return Decision(Status.UNKNOWN, None, "awaiting_operator")
    if Outcome.UNKNOWN in history:
        return Decision(Status.UNKNOWN, None, "resend_exhausted")
    due_at = now + rules.resend_after
    if due_at >= give_up_at:
        return Decision(Status.UNKNOWN, None, "expired_unknown")
    return Decision(Status.UNKNOWN, due_at, "resend_once")


def _wait(
    outcome: Outcome, history: Sequence[str], retry_after: float | None, random: float, rules: RetryPolicy
) -> timedelta:
    earlier = sum(before == outcome for before in history)
    wait = rules.schedule[min(earlier, len(rules.schedule) - 1)]
    if retry_after is not None:
        # Chaser's word counts, but a mistaken day-long wait would lose the visitor. Clamped before it becomes a
        # timedelta, which very large numbers don't fit into.
        wait = max(wait, timedelta(seconds=min(retry_after, rules.max_retry_after.total_seconds())))
    return wait * (1 + rules.jitter * random)
