"""The worker: claims due callbacks, calls Chaser and records the results."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

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
from app.outbox.claims import Claim, SiteKey, claim_due
from app.outbox.outbox import Outbox

log = logging.getLogger(__name__)

POLL_INTERVAL = 1.0
"""Seconds between queries for callbacks that other processes accepted or that have become due."""
SHUTDOWN_TIMEOUT = 7.0
"""Seconds from the request for shutdown that calls in flight may take. Containers are killed after 10."""
CANCEL_TIMEOUT = 0.3
"""Seconds that cancelled tasks may take to end."""
FINAL_WRITE_TIMEOUT = 1.0
"""Seconds to write the results that are not written yet."""
_LEASE_MARGIN = timedelta(seconds=30)
"""Latest start of a call after its claim. A call that starts by then ends within the lease."""
_MAX_WRITE_ATTEMPTS = 10
"""Attempts to write a result that fails although the database is available.

After the last one the lease expires, and maintenance finishes the claim.
"""


@dataclass(slots=True)
class _Call:
    """A claim that this process works on. `claimed_at`: monotonic seconds; `result`: None while the call runs."""

    claim: Claim
    claimed_at: float
    result: AttemptResult | None = None


class Worker:
    """Delivers callbacks from the outbox until it is stopped. `clock` returns the time in UTC."""

    def __init__(
        self,
        outbox: Outbox,
        breakers: CircuitBreakers,
        config: DeliveryConfig,
        clock: Callable[[], datetime],
        shutdown: Shutdown | None = None,
        metrics: Metrics | None = None,
        *,
        poll_interval: float = POLL_INTERVAL,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a worker. It claims nothing once `shutdown` is requested, which may be long before `stop`.

        `poll_interval`: see POLL_INTERVAL. `monotonic`: a monotonic clock in seconds.
        """
        metrics = metrics or Metrics()
        self._outbox = outbox
        self._breakers = breakers
        self._config = config
        self._clock = clock
        self._shutdown = shutdown or Shutdown()
        self._poll_interval = poll_interval
        self._monotonic = monotonic
        self._recorder = Recorder(outbox, breakers, config, clock, metrics)
        self._maintenance = Maintenance(outbox, breakers, self._recorder, config, clock, self._is_running, metrics)
        self._calls: dict[asyncio.Task[None], _Call] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._background: list[asyncio.Task[None]] = []
        self._limiter = SlidingWindowLimiter(config.calls_per_second)
        self._claiming: str | None = None  # the token of the claim in progress

    @property
    def running(self) -> bool:
        """Whether the worker's loops run and no shutdown is requested."""
        return bool(self._loops) and not self._shutdown.requested and not any(loop.done() for loop in self._loops)

    def is_paused(self, account: str, site: str) -> bool:
        """Return whether callbacks of a site wait because Chaser refuses the site or its account."""
        return self._breakers.is_paused((account, site))

    @property
    def open_account_circuits(self) -> int:
        """The number of accounts that nothing is sent for."""
        return len(self._breakers.paused)

    async def start(self) -> None:
        """Finish the claims that a dead process left, then start the loops. Raises UnavailableError."""
        await self._maintenance.recover()
        self._loops = [
            asyncio.create_task(self._repeat(self._claim_and_start), name="delivery"),
            asyncio.create_task(self._repeat(self._maintenance.run_once, pause=True), name="delivery-maintenance"),
        ]
        self._background = [
            asyncio.create_task(self._repeat(self._maintenance.erase, pause=True), name="delivery-erasure")
        ]

    async def stop(self) -> None:
        """Claim nothing new and let calls in flight finish. Those unfinished after the timeout become `unknown`."""
        self._shutdown.request()
        self._outbox.notify()
        # Let each loop finish its iteration: a claim cancelled after its commit would become a needless `unknown`.
        if self._loops:
            await asyncio.wait(self._loops, timeout=self._shutdown.remaining(SHUTDOWN_TIMEOUT))
        if self._calls:  # the last iteration may have added some
            await asyncio.wait(list(self._calls), timeout=self._shutdown.remaining(SHUTDOWN_TIMEOUT))
        unfinished = dict(self._calls)
        cancelled = [task for task in (*self._loops, *self._background, *unfinished) if not task.done()]
        for task in cancelled:
            task.cancel()
        if cancelled:
            await asyncio.wait(cancelled, timeout=CANCEL_TIMEOUT)
        # If the database is unavailable, the next start or an expired lease finishes these claims.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINAL_WRITE_TIMEOUT):
                await asyncio.gather(*map(self._finish_at_shutdown, unfinished.values()), return_exceptions=True)

    async def _finish_at_shutdown(self, call: _Call) -> None:
        unknown = AttemptResult(Outcome.UNKNOWN, None, 0.0, "shutdown", "")
        await self._recorder.finish(call.claim, call.result or unknown, retry_forever=True)

    async def _repeat(self, work: Callable[[], Awaitable[None]], *, pause: bool = False) -> None:
        """Repeat work until the shutdown, with a pause after each failure, or after each run."""
        while not self._shutdown.requested:
            try:
                await work()
                if not pause:
                    continue
            except UnavailableError:
                pass  # the outbox has logged why
            except Exception:
                log.exception("delivery.unexpected_error")
            await self._shutdown.wait(self._poll_interval)

    async def _claim_and_start(self) -> None:
        """Claim as many callbacks as concurrency and rate limit allow, or wait until more are possible."""
        free = self._config.calls_at_once - len(self._calls)
        if not free:
            await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
            return
        limit = min(free, self._limiter.available(self._monotonic()))
        if not limit:
            await self._shutdown.wait(self._limiter.retry_after(self._monotonic()))
            return
        for site in self._breakers.due_probes(self._clock()):
            claimed = await self._claim(1, only=site)
            # Also if nothing was due there: otherwise one empty site would keep all other sites from being probed.
            self._breakers.mark_probed(site, self._clock())
            if claimed:
                return
        if await self._claim(limit) < limit:
            await self._outbox.wait(self._poll_interval)

    async def _claim(self, limit: int, only: SiteKey | None = None) -> int:
        claimed_at = self._monotonic()
        self._claiming = token = str(uuid.uuid4())
        try:
            work = partial(
                claim_due,
                now=self._clock(),
                max_delay=self._config.general.max_delay,
                lease=self._config.timeout + _LEASE_MARGIN,
                limit=limit,
                paused=self._breakers.paused,
                paused_sites=self._breakers.paused_sites,
                only=only,
                token=token,
                cap=self._config.cap,
            )
            claims = await self._outbox.write(work)
        finally:
            # After an error nobody works on what was perhaps claimed, so maintenance may finish it.
            self._claiming = None
        # Claims that arrive after the request for shutdown are returned: another process has more time for them.
        result = AttemptResult(Outcome.NOT_STARTED, None, 0.0, "shutdown", "") if self._shutdown.requested else None
        if result is None:
            self._limiter.consume(len(claims), self._monotonic())
        for claim in claims:
            call = _Call(claim, claimed_at, result)
            task = asyncio.create_task(self._run(call))
            self._calls[task] = call
            task.add_done_callback(self._calls.pop)
        return len(claims)

    async def _run(self, call: _Call) -> None:
        if call.result is None:
            call.result = await self._attempt(call)
        for _ in range(_MAX_WRITE_ATTEMPTS):
            try:
                await self._recorder.finish(call.claim, call.result, retry_forever=True)
                break
            except Exception:
                log.exception("delivery.unexpected_error")
                await asyncio.sleep(self._poll_interval)

    async def _attempt(self, call: _Call) -> AttemptResult:
        claim = call.claim
        if self._monotonic() > call.claimed_at + _LEASE_MARGIN.total_seconds():
            # This process was suspended. Another one may have taken the lease for expired, and an operator may have
            # cancelled the callback since.
            return AttemptResult(Outcome.NOT_STARTED, None, 0.0, "lease_margin_exceeded", "")
        client = self._breakers.client(claim.account)
        if client is None:
            return AttemptResult(Outcome.FORBIDDEN, None, 0.0, "account_not_in_settings", "")
        try:
            return await call_chaser(client, claim.parameters, self._clock())
        except Exception:
            log.exception("delivery.unexpected_error")
            return AttemptResult(Outcome.UNKNOWN, None, 0.0, "internal", "")

    def _is_running(self, claim: Claim) -> bool:
        if claim.token == self._claiming:
            return True  # claimed in the database, but not returned to this process yet
        key = (claim.callback_id, claim.token)
        return any((call.claim.callback_id, call.claim.token) == key for call in self._calls.values())
