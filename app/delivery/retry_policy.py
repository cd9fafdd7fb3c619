"""Retry policy: one pure function from the outcome of an attempt to the next state of its callback.

Its bound: a callback is sent again only if the attempt provably was not executed, or once after an unknown outcome
where the site allows that. So there are never more second calls than unknown outcomes. A callback whose phone may have
rung never becomes `failed`: after an unknown outcome it ends as `placed` or stays `unknown`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from app.outbox.callback import Status

EXPIRED: Final = "expired"
"""Reason of a callback that failed because it could not be placed before its deadline."""


class Outcome(StrEnum):
    """Outcome of an attempt."""

    PLACED = "placed"  # 200: Chaser has accepted the call
    REFUSED = "refused"  # 404 and other 4xx: retrying is pointless
    FORBIDDEN = "forbidden"  # 403: the account or site is wrong, not the callback; not executed
    UNAUTHORIZED = "unauthorized"  # 401: the account is wrong, or this callback's signature; not executed
    NOT_SENT = "not_sent"  # provably not executed
    NOT_STARTED = "not_started"  # the call was never started: shutdown, or the lease was nearly over
    UNKNOWN = "unknown"  # may have been executed


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How the callbacks of a site are retried.

    `schedule`: delays after the first, second, ... `not_sent`, and after the first, second, ... `unauthorized`; the
    last one repeats. `jitter`: the largest fraction by which a delay is lengthened.
    """

    schedule: Sequence[timedelta]
    on_unknown: Literal["resend_once", "hold"]
    resend_after: timedelta = timedelta(seconds=60)
    jitter: float = 0.2
    max_retry_after: timedelta = timedelta(minutes=15)  # upper bound for Chaser's Retry-After

    @property
    def max_delay(self) -> timedelta:
        """The longest possible time until the next attempt."""
        return max(self.resend_after, max(*self.schedule, self.max_retry_after) * (1 + self.jitter))


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state. `due_at`: time of the next attempt, None for no more; `reason`: a stable code for operators."""

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
    policy: RetryPolicy,
) -> Decision:
    """Return the next state of a callback after an attempt.

    `history`: outcomes of the earlier attempts, oldest first. `retry_after`: Chaser's Retry-After in seconds, if any.
    `random`: from 0 up to 1, the jitter that spreads the retries of many callbacks. No retry is due after `give_up_at`.
    """
    may_have_rung = Outcome.UNKNOWN in history
    if outcome is Outcome.PLACED:
        return Decision(Status.PLACED, None, None)
    if outcome is Outcome.UNKNOWN:
        return _after_unknown(history, give_up_at, now, policy)
    if outcome is Outcome.REFUSED:
        return _final(may_have_rung, "resend_refused", "refused_by_chaser")
    if now >= give_up_at:
        return _final(may_have_rung, "expired_unknown", EXPIRED)
    # A resend that was not sent is still due. Under `hold` an operator has ordered it, so the callback stays queued.
    status = Status.UNKNOWN if may_have_rung and policy.on_unknown == "resend_once" else Status.QUEUED
    if outcome is Outcome.FORBIDDEN:
        # Due now: the open circuit holds it back, and it is the first to be sent when the circuit closes.
        return Decision(status, now, "account_refused")
    if outcome is Outcome.NOT_STARTED:
        return Decision(status, now, "not_started")
    # A 401 waits by the schedule: if only this callback's signature is wrong, no open circuit would slow it down.
    reason = "not_sent" if outcome is Outcome.NOT_SENT else "account_refused"
    return Decision(status, min(now + _delay(outcome, history, retry_after, random, policy), give_up_at), reason)


def _final(may_have_rung: bool, unknown_reason: str, failed_reason: str) -> Decision:
    """Return a state without further attempts: `unknown` if the phone may have rung, else `failed`."""
    if may_have_rung:
        return Decision(Status.UNKNOWN, None, unknown_reason)
    return Decision(Status.FAILED, None, failed_reason)


def _after_unknown(history: Sequence[str], give_up_at: datetime, now: datetime, policy: RetryPolicy) -> Decision:
    if policy.on_unknown == "hold":
        return Decision(Status.UNKNOWN, None, "awaiting_operator")
    if Outcome.UNKNOWN in history:
        return Decision(Status.UNKNOWN, None, "resend_exhausted")
    due_at = now + policy.resend_after
    if due_at >= give_up_at:
        return Decision(Status.UNKNOWN, None, "expired_unknown")
    return Decision(Status.UNKNOWN, due_at, "resend_once")


def _delay(
    outcome: Outcome, history: Sequence[str], retry_after: float | None, random: float, policy: RetryPolicy
) -> timedelta:
    earlier = sum(before == outcome for before in history)
    delay = policy.schedule[min(earlier, len(policy.schedule) - 1)]
    if retry_after is not None:
        # Capped: a mistaken Retry-After of a day would lose the visitor. Capped as a number, because a timedelta
        # overflows on very large ones.
        delay = max(delay, timedelta(seconds=min(retry_after, policy.max_retry_after.total_seconds())))
    return delay * (1 + policy.jitter * random)
