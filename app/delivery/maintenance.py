"""Periodic maintenance of the outbox: probes, orphaned claims, expiry, erasure of personal data."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from app.delivery.attempt import AttemptResult
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.delivery_config import DeliveryConfig
from app.delivery.recorder import Recorder
from app.delivery.retry_policy import EXPIRED, Outcome
from app.errors import UnavailableError
from app.logs import event
from app.metrics import Metrics
from app.outbox.claims import Claim, expire, hold_unknown, orphaned
from app.outbox.outbox import Outbox
from app.outbox.retention import erase

log = logging.getLogger(__name__)

_ERASE_INTERVAL = timedelta(hours=1)
_RECOVERY_GRACE = 10.0
"""Seconds after an outage of the database in which no lease counts as expired.

Other processes may have been disconnected as well. They need this time to write the results they hold.
"""


class Maintenance:
    """Maintains the outbox beside the worker. `is_local` returns whether this process still works on a claim."""

    def __init__(
        self,
        outbox: Outbox,
        breakers: CircuitBreakers,
        recorder: Recorder,
        config: DeliveryConfig,
        clock: Callable[[], datetime],
        is_local: Callable[[Claim], bool],
        metrics: Metrics | None = None,
    ) -> None:
        self._outbox = outbox
        self._breakers = breakers
        self._recorder = recorder
        self._config = config
        self._clock = clock
        self._is_local = is_local
        self._metrics = metrics or Metrics()
        self._suspected_orphans: set[tuple[str, str]] = set()  # id and token of the last run's orphaned claims
        self._grace_until = 0.0
        self._erase_at = clock()

    async def recover(self) -> None:
        """Finish the claims that a dead process left, before the worker starts. Raises UnavailableError."""
        await self._finish_orphans(at_start=True)
        await self._hold_unknown()

    async def run_once(self) -> None:
        """Run everything that is due except erasure, without waiting for Chaser. Raises UnavailableError."""
        self._breakers.start_probes(self._clock())
        try:
            await self._finish_orphans(at_start=False)
            await self._hold_unknown()
            await self._expire()
        except UnavailableError:
            self._grace_until = time.monotonic() + _RECOVERY_GRACE
            raise

    async def erase(self) -> None:
        """Erase personal data past its retention, once an hour. May take long. Raises UnavailableError."""
        now = self._clock()
        if now < self._erase_at <= now + _ERASE_INTERVAL:  # further ahead: the clock was set back
            return
        erased = await erase(self._outbox, now, self._config.keep_personal_data)
        self._erase_at = now + _ERASE_INTERVAL
        if erased:
            event(log, "outbox.erased", callbacks=erased)

    async def _finish_orphans(self, *, at_start: bool) -> None:
        if time.monotonic() < self._grace_until:
            return
        # Where only one process can run, a claim of another has no live worker, whatever its lease.
        claims = await self._outbox.read(partial(orphaned, now=None if self._outbox.is_exclusive else self._clock()))
        # A lease of our own can expire during an outage of the database; its result is still to be written.
        orphans = [claim for claim in claims if not self._is_local(claim)]
        # A local claim may have been finished since the query, so an orphan counts only in two runs in succession.
        before, self._suspected_orphans = (
            self._suspected_orphans,
            {(claim.callback_id, claim.token) for claim in orphans},
        )
        for claim in orphans:
            if at_start or (claim.callback_id, claim.token) in before:
                result = AttemptResult(Outcome.UNKNOWN, None, 0.0, "process_died", "")
                try:
                    await self._recorder.finish(claim, result, retry_forever=False)
                except UnavailableError:
                    raise
                except Exception:
                    log.exception("delivery.unexpected_error")  # continue: one bad row must not block the others

    async def _hold_unknown(self) -> None:
        """Cancel resends that were scheduled before the settings said `hold`."""
        hold = partial(hold_unknown, now=self._clock(), holds=self._config.holds_unknown)
        for callback_id in await self._outbox.write(hold):
            event(log, "delivery.held", callback=callback_id)

    async def _expire(self) -> None:
        for callback_id in await self._outbox.write(partial(expire, now=self._clock())):
            self._metrics.expired()
            event(log, "delivery.expired", logging.ERROR, callback=callback_id, reason=EXPIRED)
