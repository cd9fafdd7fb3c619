"""What happened becomes the next state, and is written down."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from app.delivery.attempt import Happened
from app.delivery.circuit_breaker import Accounts
from app.delivery.delivery_config import DeliveryRules
from app.delivery.retry_policy import TOO_OLD, Decision, Outcome, decide
from app.errors import Unavailable
from app.logs import event, mask_phone
from app.metrics import Metrics
from app.outbox.callback import Status
from app.outbox.claims import Claim, Record
from app.outbox.outbox import Outbox

log = logging.getLogger(__name__)

_AGAIN = 1.0  # seconds between tries to write while the database is away


class Recorder:
    """Asks the policy, tells the accounts what Chaser refuses, and writes the outbox. ``clock``: the time in UTC."""

    def __init__(
        self,
        outbox: Outbox,
        accounts: Accounts,
        rules: DeliveryRules,
        clock: Callable[[], datetime],
        metrics: Metrics | None = None,
    ) -> None:
        self._outbox = outbox
        self._accounts = accounts
        self._rules = rules
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._random = random.Random()  # noqa: S311  # spreads retries, keeps no secret

    async def settle(self, claim: Claim, happened: Happened, *, patient: bool) -> None:
        """Write down what an attempt came to.

        ``patient``: however long the database is away, since nobody else knows it. Else raises Unavailable.
        """
        now = self._clock()
        self._tell_accounts(claim, happened, now)
        while True:
            decision = self._decide(claim, happened, now)
            held = await self._record(claim, _record(happened, decision), patient=patient)
            if not isinstance(held, datetime):
                break
            claim = replace(claim, give_up_at=held)
        if held:
            self._count(claim, happened, decision, now)
        event(
            log,
            "delivery.attempt" if held else "delivery.lease_lost",
            callback=claim.callback_id,
            site=claim.site,
            client_phone=mask_phone(claim.parameters["client_phone"]),
            attempt=claim.number,
            outcome=happened.outcome,
            http_status=happened.http_status,
            detail=happened.detail,
            duration_ms=round(happened.duration * 1000),
            status=decision.status,
            due_at=decision.due_at.isoformat() if decision.due_at else None,
        )

    def _decide(self, claim: Claim, happened: Happened, now: datetime) -> Decision:
        return decide(
            happened.outcome,
            history=claim.history,
            give_up_at=claim.give_up_at,
            retry_after=happened.retry_after,
            now=now,
            random=self._random.random(),
            rules=self._rules.of(claim.site),
        )

    def _count(self, claim: Claim, happened: Happened, decision: Decision, now: datetime) -> None:
        self._metrics.attempted(claim.site, happened.outcome)
        if happened.outcome is Outcome.DELIVERED:
            self._metrics.delivered(claim.site, now - claim.ready_at)
        elif decision.status is Status.FAILED and decision.reason == TOO_OLD:
            self._metrics.gave_up()

    def _tell_accounts(self, claim: Claim, happened: Happened, now: datetime) -> None:
        site = (claim.account, claim.site)
        if happened.outcome is Outcome.UNAUTHORIZED:
            self._accounts.refused(claim.account, claim.callback_id, now)
        elif happened.outcome is Outcome.ACCOUNT and happened.http_status is None:
            self._accounts.forgotten(claim.account, now)
        elif happened.outcome is Outcome.ACCOUNT:
            self._accounts.forbidden(site, claim.parameters["site_id"], now)
        elif happened.outcome in (Outcome.DELIVERED, Outcome.REFUSED) and happened.http_status is not None:
            self._accounts.allowed(site)

    async def _record(self, claim: Claim, result: Record, *, patient: bool) -> bool | datetime:
        while True:
            try:
                return await self._outbox.record(claim, result, self._clock())
            except Unavailable:
                if not patient:
                    raise
                await asyncio.sleep(_AGAIN)


def _record(happened: Happened, decision: Decision) -> Record:
    return Record(
        status=decision.status,
        due_at=decision.due_at,
        reason=decision.reason,
        outcome=happened.outcome,
        http_status=happened.http_status,
        duration_ms=round(happened.duration * 1000),
        detail=happened.detail,
        answer=happened.answer or None,
    )
