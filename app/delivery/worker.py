"""The worker: takes what is due, calls Chaser, writes down what became of it."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.delivery.attempt import AttemptResult, call_chaser
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.delivery_config import DeliveryConfig
from app.delivery.maintenance import Maintenance
from app.delivery.rate_limiter import SlidingWindowLimiter
from app.delivery.recorder import Recorder
from app.delivery.retry_policy import Outcome
from app.delivery.shutdown import Shutdown
from app.errors import UnavailableError
from app.metrics import Metrics
from app.outbox.claims import Claim, SiteKey
from app.outbox.outbox import Outbox

log = logging.getLogger(__name__)

POLL_INTERVAL = 1.0  # seconds between looks for what other processes accepted and what has become due
SHUTDOWN_TIMEOUT = (
    7.0  # seconds from the beginning of the end that calls under way may take; containers are killed after ten
)
CANCEL_TIMEOUT = 0.3  # seconds that broken off calls may take to end
FINAL_WRITE_TIMEOUT = 1.0  # seconds for the outcomes that are not written yet
_LEASE_MARGIN = timedelta(seconds=30)
"""How long after its claiming a call may still begin: it then ends within the lease."""
_TRIES = (
    10  # to write an outcome that the database takes, but we can't: then the lease runs out, and the care settles it
)


@dataclass(slots=True)
class _Call:
    """A claim in our hands, and what came of it once that is known. ``claimed_at``: monotonic seconds."""

    claim: Claim
    claimed_at: float
    result: AttemptResult | None = None


class Worker:
    """Delivers from the outbox until its end. ``clock`` gives the time in UTC."""

    def __init__(
        self,
        outbox: Outbox,
        accounts: CircuitBreakers,
        rules: DeliveryConfig,
        clock: Callable[[], datetime],
        shutdown: Shutdown | None = None,
        metrics: Metrics | None = None,
        *,
        poll_interval: float = POLL_INTERVAL,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a worker that takes nothing from the moment ``ending`` is told, which may be long before ``stop``.

        ``poll_interval``: see POLL_INTERVAL. ``monotonic``: a clock in seconds that never goes back.
        """
        metrics = metrics or Metrics()
        self._outbox = outbox
        self._accounts = accounts
        self._config = rules
        self._clock = clock
        self._shutdown = shutdown or Shutdown()
        self._poll_interval = poll_interval
        self._monotonic = monotonic
        self._recorder = Recorder(outbox, accounts, rules, clock, metrics)
        self._maintenance = Maintenance(outbox, accounts, self._recorder, rules, clock, self._is_running, metrics)
        self._calls: dict[asyncio.Task[None], _Call] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._background: list[asyncio.Task[None]] = []
        self._limiter = SlidingWindowLimiter(rules.calls_per_second)
        # Of the claiming under way, and of the next one when that does not come back.
        self._token: str | None = None
        self._claimed_at = 0.0

    @property
    def running(self) -> bool:
        """Tell whether the worker is alive, and not about to end."""
        return bool(self._loops) and not self._shutdown.requested and not any(loop.done() for loop in self._loops)

    def is_paused(self, account: str, site: str) -> bool:
        """Tell whether callbacks of a site wait because Chaser refuses them."""
        return self._accounts.is_paused((account, site))

    @property
    def open_account_circuits(self) -> int:
        """Count the accounts that nothing is sent for."""
        return len(self._accounts.paused)

    async def start(self) -> None:
        """Settle what a dead process left behind, then begin. Raises UnavailableError."""
        await self._maintenance.recover()
        self._loops = [
            asyncio.create_task(self._forever(self._claim_and_start), name="delivery"),
            asyncio.create_task(self._forever(self._maintain), name="delivery-care"),
        ]
        self._background = [asyncio.create_task(self._forever(self._erase), name="delivery-erasing")]

    async def stop(self) -> None:
        """Take nothing new, let calls under way finish within their time; what is unfinished then becomes unknown."""
        self._shutdown.request()
        self._outbox.notify()
        # The loops are let go round to their end: a claim cut off after its commit would be an unknown for nothing.
        if self._loops:
            await asyncio.wait(self._loops, timeout=self._shutdown.remaining(SHUTDOWN_TIMEOUT))
        if self._calls:  # the last claim may be on its way back
            await asyncio.wait(list(self._calls), timeout=self._shutdown.remaining(SHUTDOWN_TIMEOUT))
        unfinished = dict(self._calls)
        broken_off = [task for task in (*self._loops, *self._background, *unfinished) if not task.done()]
        for task in broken_off:
            task.cancel()
        if broken_off:
            await asyncio.wait(broken_off, timeout=CANCEL_TIMEOUT)
        # With the database away the next start, or the lease, settles them.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINAL_WRITE_TIMEOUT):
                await asyncio.gather(*map(self._settle_at_last, unfinished.values()), return_exceptions=True)

    async def _settle_at_last(self, call: _Call) -> None:
        shutdown = AttemptResult(Outcome.UNKNOWN, None, 0.0, "shutdown", "")
        await self._recorder.finish(call.claim, call.result or shutdown, retry_forever=True)

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._shutdown.requested:
            try:
                await work()
            except UnavailableError:
                await self._shutdown.wait(self._poll_interval)  # the database is away; the writer has logged why
            except Exception:
                log.exception("delivery.unexpected_error")
                await self._shutdown.wait(self._poll_interval)

    async def _claim_and_start(self) -> None:
        """Claim what the free places and the pace allow, then wait for more to be possible."""
        free = self._config.calls_at_once - len(self._calls)
        if not free:
            await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
            return
        allowed = min(free, self._limiter.available(self._monotonic()))
        if not allowed:
            await self._shutdown.wait(self._limiter.retry_after)
            return
        for site in self._accounts.due_probes(self._clock()):
            found = await self._claim(1, only=site)
            self._accounts.mark_probed(site, self._clock())  # also when nothing was due: the others come next
            if found:
                return
        if await self._claim(allowed) < allowed:
            await self._outbox.wait(self._poll_interval)

    async def _maintain(self) -> None:
        await self._maintenance.run_once()
        await self._shutdown.wait(self._poll_interval)

    async def _erase(self) -> None:
        await self._maintenance.erase()
        await self._shutdown.wait(self._poll_interval)

    async def _claim(self, limit: int, only: SiteKey | None = None) -> int:
        if self._token is None:
            self._token = str(uuid.uuid4())
            self._claimed_at = self._monotonic()
        claims = await self._outbox.claim_due(
            self._clock(),
            max_delay=self._config.general.max_delay,
            lease=self._config.timeout + _LEASE_MARGIN,
            limit=limit,
            paused=self._accounts.paused,
            paused_sites=self._accounts.paused_sites,
            only=only,
            token=self._token,
        )
        # What was claimed while the end began is handed back: who comes next has more time for it.
        handed_back = (
            AttemptResult(Outcome.NOT_STARTED, None, 0.0, "shutdown", "") if self._shutdown.requested else None
        )
        if handed_back is None:
            self._limiter.consume(len(claims), self._monotonic())
        for claim in claims:
            call = _Call(claim, self._claimed_at, handed_back)
            task = asyncio.create_task(self._run(call))
            self._calls[task] = call
            task.add_done_callback(self._calls.pop)
        self._token = None
        return len(claims)

    async def _run(self, call: _Call) -> None:
        if call.result is None:
            call.result = await self._attempt(call)
        for _ in range(_TRIES):
            try:
                await self._recorder.finish(call.claim, call.result, retry_forever=True)
                break
            except Exception:
                log.exception("delivery.unexpected_error")
                await asyncio.sleep(self._poll_interval)

    async def _attempt(self, call: _Call) -> AttemptResult:
        claim = call.claim
        if self._monotonic() > call.claimed_at + _LEASE_MARGIN.total_seconds():
            # We stood still. Others may have called it lost, and a person may have cancelled it since.
            return AttemptResult(Outcome.NOT_STARTED, None, 0.0, "lease_margin_exceeded", "")
        client = self._accounts.client(claim.account)
        if client is None:
            return AttemptResult(Outcome.FORBIDDEN, None, 0.0, "account_not_in_settings", "")
        try:
            return await call_chaser(client, claim.parameters, self._clock())
        except Exception:
            log.exception("delivery.unexpected_error")
            return AttemptResult(Outcome.UNKNOWN, None, 0.0, "internal", "")

    def _is_running(self, claim: Claim) -> bool:
        if claim.token == self._token:
            return True  # written, and on its way to us
        held = (claim.callback_id, claim.token)
        return any((call.claim.callback_id, call.claim.token) == held for call in self._calls.values())
