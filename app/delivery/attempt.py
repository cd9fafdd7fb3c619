"""One delivery attempt: the call to Chaser, and its result as an outcome of the retry policy."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

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
from app.outbox.rings import wanted_time

_OUTCOMES: Final = {
    Unauthorized: Outcome.UNAUTHORIZED,
    Forbidden: Outcome.FORBIDDEN,
    NotSent: Outcome.NOT_SENT,
    Unavailable: Outcome.NOT_SENT,
    OutcomeUnknown: Outcome.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """Result of one attempt. `duration` and `retry_after` in seconds; `answer`: at most 2 KiB of the response body."""

    outcome: Outcome
    http_status: int | None
    duration: float
    detail: str | None
    answer: str
    retry_after: float | None = None


async def call_chaser(client: ChaserClient, parameters: dict[str, Any], now: datetime) -> AttemptResult:
    """Send one `call` to Chaser and return its result. Raises nothing but a cancellation.

    `parameters`: the arguments of `app.chaser.Call`. A planned time that is due, or due within 30 s, is left out.
    """
    planned_time = parameters["planned_time"]
    if wanted_time(planned_time, now) != planned_time:
        # Chaser accepts only times in its future; it would reject this one with a 4xx.
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
    """Map an error of the Chaser client to an outcome of the retry policy."""
    return next((outcome for kind, outcome in _OUTCOMES.items() if isinstance(error, kind)), Outcome.REFUSED)
