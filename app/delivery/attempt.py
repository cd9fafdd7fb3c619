"""One attempt: the call to Chaser, and what its result means in the words of the policy."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.chaser import (
    Call,
    ChaserClient,
    ChaserError,
    Forbidden,
    InvalidParameter,
    NotSent,
    OutcomeUnknown,
    Unauthorized,
    Unavailable,
)
from app.delivery.retry_policy import Outcome

_PLAN_MARGIN = timedelta(seconds=30)
"""How far ahead a planned time has to be to be sent: Chaser goes by its own clock, and the way there takes time."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What an attempt came to. ``duration`` and ``retry_after`` in seconds; ``answer``: at most 2 KiB of the body."""

    outcome: Outcome
    http_status: int | None
    duration: float
    detail: str | None
    answer: str
    retry_after: float | None = None


async def call_chaser(client: ChaserClient, parameters: dict[str, Any], now: datetime) -> AttemptResult:
    """Ask Chaser to phone. Raises nothing but a cancellation."""
    planned_time = parameters["planned_time"]
    if planned_time is not None and planned_time <= now + _PLAN_MARGIN:
        # What was planned is due now or in a moment, and Chaser takes only times in its future.
        parameters = parameters | {"planned_time": None}
    try:
        done = await client.call(Call(**parameters))
    except InvalidParameter as error:
        return AttemptResult(Outcome.REFUSED, None, 0.0, f"invalid {error.parameter}", "")
    except ChaserError as error:
        return AttemptResult(
            classify(error), error.status, error.duration, type(error).__name__, error.body_excerpt, error.retry_after
        )
    return AttemptResult(Outcome.PLACED, done.status, done.duration, None, done.body_excerpt)


def classify(error: ChaserError) -> Outcome:
    """Translate an error of the client into the policy's words."""
    if isinstance(error, Unauthorized):
        return Outcome.UNAUTHORIZED
    if isinstance(error, Forbidden):
        return Outcome.FORBIDDEN
    if isinstance(error, NotSent | Unavailable):
        return Outcome.NOT_SENT
    if isinstance(error, OutcomeUnknown):
        return Outcome.UNKNOWN
    return Outcome.REFUSED
