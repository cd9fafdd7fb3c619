"""What result becomes the next state, and is written down."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

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

log = logging.getLogger(__name__)

_AGAIN = 1.0  # seconds between tries to write while the database is away


class Recorder:
    """Asks the policy, tells the accounts what Chaser refuses, and writes the outbox. ``clock``: the time in UTC."""

    def __init__(
        self,
        outbox: Outbox,
        accounts: CircuitBreakers,
        rules: DeliveryConfig,
        clock: Callable[[], datetime],
        metrics: Metrics | None = None,
    ) -> None:
        self._outbox = outbox
        self._accounts = accounts
        self._config = rules
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._random = random.Random()  # noqa: S311  # spreads retries, keeps no secret

    async def finish(self, claim: Claim, result: AttemptResult, *, retry_forever: bool) -> None:
        """Write down what an attempt came to.

        ``patient``: however long the database is away, since nobody else knows it. Else raises UnavailableError.
        """
        now = self._clock()
        self._update_breakers(claim, result, now)
        while True:
            decision = self._decide(claim, result, now)
            held = await self._write(claim, _to_outcome(result, decision), retry_forever=retry_forever)
            if not isinstance(held, datetime):
                break
            claim = replace(claim, give_up_at=held)
        if held:
            self._count(claim, result, decision, now)
        event(
            log,
            "delivery.attempt" if held else "delivery.lease_lost",
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
            rules=self._config.policy_for(claim.site),
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
            self._accounts.on_unauthorized(claim.account, claim.callback_id, now)
        elif result.outcome is Outcome.FORBIDDEN and result.http_status is None:
            self._accounts.on_removed(claim.account, now)
        elif result.outcome is Outcome.FORBIDDEN:
            self._accounts.on_forbidden(site, claim.parameters["site_id"], now)
        elif result.outcome in (Outcome.PLACED, Outcome.REFUSED) and result.http_status is not None:
            self._accounts.on_success(site)

    async def _write(self, claim: Claim, result: AttemptOutcome, *, retry_forever: bool) -> bool | datetime:
        while True:
            try:
                return await self._outbox.finish_attempt(claim, result, self._clock())
            except UnavailableError:
                if not retry_forever:
                    raise
                await asyncio.sleep(_AGAIN)


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
