"""Turns the result of an attempt into the callback's next state, and writes it to the outbox."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from app.delivery.attempt import AttemptResult
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.delivery_config import DeliveryConfig
from app.delivery.retry_policy import EXPIRED, Decision, Outcome, decide
from app.errors import UnavailableError
from app.logs import event, mask_phone
from app.metrics import Metrics
from app.outbox.callback import Status
from app.outbox.claims import AttemptOutcome, Claim
from app.outbox.outbox import Outbox
from app.outbox.resends import finish, is_resend

log = logging.getLogger(__name__)

_WRITE_RETRY_INTERVAL = 1.0  # seconds between attempts to write while the database is unavailable


class Recorder:
    """Applies the retry policy to results, informs the circuit breakers and writes the outbox. `clock`: UTC."""

    def __init__(
        self,
        outbox: Outbox,
        breakers: CircuitBreakers,
        config: DeliveryConfig,
        clock: Callable[[], datetime],
        metrics: Metrics | None = None,
    ) -> None:
        self._outbox = outbox
        self._breakers = breakers
        self._config = config
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._random = random.Random()  # noqa: S311  # jitter for retries, not a secret

    async def finish(self, claim: Claim, result: AttemptResult, *, retry_forever: bool) -> None:
        """Write the result of an attempt, and log it.

        `retry_forever`: retry while the database is unavailable, because only this process knows the result.
        Otherwise raises UnavailableError.
        """
        now = self._clock()
        self._update_breakers(claim, result, now)
        while True:
            decision = self._decide(claim, result, now)
            written = await self._write(claim, _to_outcome(result, decision), retry_forever=retry_forever)
            if not isinstance(written, datetime):
                break
            # A duplicate request has extended the deadline since the claim: decide again with the new one.
            claim = replace(claim, give_up_at=written)
        if written:
            self._count(claim, result, decision, now)
        event(
            log,
            "delivery.attempt" if written else "delivery.lease_lost",
            callback=claim.callback_id,
            site=claim.site,
            client_phone=mask_phone(claim.parameters["client_phone"]),
            attempt=claim.number,
            outcome=result.outcome,
            http_status=result.http_status,
            detail=result.detail,
            duration_ms=round(result.duration * 1000),
            status=decision.status,
            due_at=decision.due_at.isoformat() if decision.due_at else None,
        )

    def _decide(self, claim: Claim, result: AttemptResult, now: datetime) -> Decision:
        return decide(
            result.outcome,
            history=claim.history,
            give_up_at=claim.give_up_at,
            retry_after=result.retry_after,
            now=now,
            random=self._random.random(),
            policy=self._config.policy_for(claim.site),
        )

    def _count(self, claim: Claim, result: AttemptResult, decision: Decision, now: datetime) -> None:
        self._metrics.attempted(claim.site, result.outcome)
        if result.outcome is Outcome.PLACED:
            self._metrics.placed(claim.site, now - claim.available_at)
        elif decision.status is Status.FAILED and decision.reason == EXPIRED:
            self._metrics.expired()

    def _update_breakers(self, claim: Claim, result: AttemptResult, now: datetime) -> None:
        site = (claim.account, claim.site)
        if result.outcome is Outcome.UNAUTHORIZED:
            self._breakers.on_unauthorized(claim.account, claim.callback_id, now)
        elif result.outcome is Outcome.FORBIDDEN and result.http_status is None:
            self._breakers.on_removed(claim.account, now)
        elif result.outcome is Outcome.FORBIDDEN:
            self._breakers.on_forbidden(site, claim.parameters["site_id"], now)
        elif result.outcome in (Outcome.PLACED, Outcome.REFUSED) and result.http_status is not None:
            self._breakers.on_success(site)

    async def _write(self, claim: Claim, outcome: AttemptOutcome, *, retry_forever: bool) -> bool | datetime:
        """Write an outcome and return the result of `resends.finish`."""
        while True:
            try:
                work = partial(finish, claim=claim, result=outcome, now=self._clock(), cap=self._config.cap)
                return await self._outbox.write(work, isolated=is_resend(outcome))
            except UnavailableError:
                if not retry_forever:
                    raise
                await asyncio.sleep(_WRITE_RETRY_INTERVAL)


def _to_outcome(result: AttemptResult, decision: Decision) -> AttemptOutcome:
    return AttemptOutcome(
        status=decision.status,
        due_at=decision.due_at,
        reason=decision.reason,
        outcome=result.outcome,
        http_status=result.http_status,
        duration_ms=round(result.duration * 1000),
        detail=result.detail,
        answer=result.answer or None,
    )
