"""The worker: takes what is due, calls Chaser, writes down what became of it."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.delivery.accounts import Accounts
from app.delivery.chaser_call import Happened, call_chaser
from app.delivery.pace import Pace
from app.delivery.policy import Outcome, Rules, decide
from app.errors import Unavailable
from app.logs import event, mask_phone
from app.outbox.delivering import Claim, Record
from app.outbox.outbox import Outbox

log = logging.getLogger(__name__)

_CLOCK_STEP = 1.0  # seconds between looks for what other processes accepted and what has become due
_DRAIN = 8.0  # seconds that calls under way may take at shutdown; containers are killed after ten
_LEASE_MARGIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """``timeout``: of one call; ``by_site``: sites that differ in ``on_unknown``."""

    timeout: timedelta
    calls_at_once: int
    calls_per_second: float
    keep_personal_data: timedelta
    general: Rules
    by_site: dict[str, Rules]

    def of(self, site: str) -> Rules:
        """Give the rules of a site, the general ones for a site the settings no longer know."""
        return self.by_site.get(site, self.general)


class Worker:
    """Delivers from the outbox until it is stopped. ``clock`` gives the time in UTC."""

    def __init__(self, outbox: Outbox, accounts: Accounts, rules: WorkerRules, clock: Callable[[], datetime]) -> None:
        self._outbox = outbox
        self._accounts = accounts
        self._rules = rules
        self._clock = clock
        self._calls: dict[asyncio.Task[None], Claim] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        self._random = random.Random()  # noqa: S311  # spreads retries, keeps no secret
        self._pace = Pace(rules.calls_per_second)
        self._erase_at = clock()

    @property
    def paused_accounts(self) -> tuple[str, ...]:
        """Give the client_ids of the accounts that Chaser refuses."""
        return self._accounts.paused

    @property
    def running(self) -> bool:
        """Tell whether the worker is alive."""
        return bool(self._loops) and not any(loop.done() for loop in self._loops)

    async def start(self) -> None:
        """Settle what a dead process left behind, then begin."""
        await self._settle_abandoned(at_start=True)
        self._loops = [
            asyncio.create_task(self._forever(self._take), name="delivery"),
            asyncio.create_task(self._forever(self._look_after), name="delivery-care"),
        ]

    async def stop(self) -> None:
        """Take nothing new and let calls under way finish within 8 s; what is not finished then becomes unknown."""
        self._ending.set()
        self._outbox.ring()
        # The loops are let go round to their end: a claim cut off after its commit would be an unknown for nothing.
        deadline = time.monotonic() + _DRAIN
        if self._loops:
            await asyncio.wait(self._loops, timeout=_DRAIN)
        if self._calls:  # the last claim may have begun new ones
            await asyncio.wait(list(self._calls), timeout=max(0.0, deadline - time.monotonic()))
        unfinished = dict(self._calls)
        for task in (*self._loops, *unfinished):
            task.cancel()
        await asyncio.gather(*self._loops, *unfinished, return_exceptions=True)
        # With the database away the next start, or the lease, settles them.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                for claim in unfinished.values():
                    await self._settle(claim, Happened(Outcome.UNKNOWN, None, 0.0, "shutdown", ""))

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._ending.is_set():
            try:
                await work()
            except Unavailable:
                await self._pause()  # the database is away; the writer has logged why
            except Exception:
                log.exception("delivery.unexpected_error")
                await self._pause()

    async def _pause(self) -> None:
        """Wait a step, or until the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOCK_STEP):
                await self._ending.wait()

    async def _take(self) -> None:
        """Claim what the free places and the pace allow, then wait for more to be possible."""
        free = self._rules.calls_at_once - len(self._calls)
        if not free:
            await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
            return
        allowed = min(free, self._pace.allowed(time.monotonic()))
        if not allowed:
            await asyncio.sleep(self._pace.wait)
            return
        lease = self._rules.timeout + _LEASE_MARGIN
        claims = await self._outbox.claim_due(
            self._clock(),
            furthest=self._rules.general.furthest,
            lease=lease,
            limit=allowed,
            paused=self._accounts.paused,
        )
        self._pace.spend(len(claims))
        for claim in claims:
            call = asyncio.create_task(self._attempt(claim))
            self._calls[call] = claim
            call.add_done_callback(self._calls.pop)
        if len(claims) < allowed:
            await self._outbox.wait_for_work(_CLOCK_STEP)

    async def _look_after(self) -> None:
        """Do what the passing of time asks for; apart from taking, since a probe may wait for Chaser."""
        await self._accounts.probe(self._clock())
        await self._settle_abandoned(at_start=False)
        for callback_id in await self._outbox.expire(self._clock()):
            event(log, "delivery.gave_up", logging.ERROR, callback=callback_id, reason="too_old")
        await self._erase()
        await self._pause()

    async def _attempt(self, claim: Claim) -> None:
        client = self._accounts.client(claim.account)
        if client is None:
            happened = Happened(Outcome.ACCOUNT, None, 0.0, "account_not_in_settings", "")
        else:
            try:
                happened = await call_chaser(client, claim.parameters, self._clock())
            except Exception:
                log.exception("delivery.unexpected_error")
                happened = Happened(Outcome.UNKNOWN, None, 0.0, "internal", "")
        await self._settle(claim, happened)

    async def _settle(self, claim: Claim, happened: Happened) -> None:
        now = self._clock()
        decision = decide(
            happened.outcome,
            history=claim.history,
            give_up_at=claim.give_up_at,
            retry_after=happened.retry_after,
            now=now,
            random=self._random.random(),
            rules=self._rules.of(claim.site),
        )
        if decision.pause_account:
            self._accounts.pause(claim.account, now)
        result = Record(
            status=decision.status,
            due_at=decision.due_at,
            reason=decision.reason,
            outcome=happened.outcome,
            http_status=happened.http_status,
            duration_ms=round(happened.duration * 1000),
            detail=happened.detail,
            answer=happened.answer or None,
        )
        held = await self._keep_recording(claim, result)
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
            duration_ms=result.duration_ms,
            status=decision.status,
            due_at=decision.due_at.isoformat() if decision.due_at else None,
        )

    async def _keep_recording(self, claim: Claim, result: Record) -> bool:
        """Write the result down, however long the database is away: what is not written becomes unknown."""
        while True:
            try:
                return await self._outbox.record(claim, result, self._clock())
            except Unavailable:
                await asyncio.sleep(_CLOCK_STEP)

    async def _settle_abandoned(self, *, at_start: bool) -> None:
        for claim in await self._outbox.abandoned(self._clock(), at_start=at_start):
            await self._settle(claim, Happened(Outcome.UNKNOWN, None, 0.0, "process_died", ""))

    async def _erase(self) -> None:
        now = self._clock()
        if now < self._erase_at:
            return
        self._erase_at = now + timedelta(hours=1)
        erased = await self._outbox.erase(now - self._rules.keep_personal_data)
        if erased:
            event(log, "outbox.erased", callbacks=erased)
