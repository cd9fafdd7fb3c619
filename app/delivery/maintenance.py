"""What the passing of time asks for: probes, claims that a dead process left, giving up, erasing."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from app.delivery.attempt import AttemptResult
from app.delivery.circuit_breaker import CircuitBreakers
from app.delivery.delivery_config import DeliveryConfig
from app.delivery.recorder import Recorder
from app.delivery.retry_policy import EXPIRED, Outcome
from app.errors import UnavailableError
from app.logs import event
from app.metrics import Metrics
from app.outbox.claims import Claim
from app.outbox.outbox import Outbox

log = logging.getLogger(__name__)

_ERASE_EVERY = timedelta(hours=1)
_RECOVERY_GRACE = 10.0
"""Seconds after the database was away in which no lease counts as run out.

Other processes may have been cut off from it as well, and now come to write down what they know.
"""


class Maintenance:
    """Looks after the outbox. ``ours`` tells whether this very process still works on a claim."""

    def __init__(
        self,
        outbox: Outbox,
        accounts: CircuitBreakers,
        recorder: Recorder,
        rules: DeliveryConfig,
        clock: Callable[[], datetime],
        is_local: Callable[[Claim], bool],
        metrics: Metrics | None = None,
    ) -> None:
        self._outbox = outbox
        self._accounts = accounts
        self._recorder = recorder
        self._config = rules
        self._clock = clock
        self._is_local = is_local
        self._metrics = metrics or Metrics()
        self._suspected_orphans: set[tuple[str, str]] = set()  # claims that were nobody's at the last look
        self._grace_until = 0.0
        self._erase_at = clock()

    async def recover(self) -> None:
        """Settle what a dead process left behind. Raises UnavailableError."""
        await self._settle_abandoned(at_start=True)
        await self._hold()

    async def run_once(self) -> None:
        """Do all that is due, without waiting for Chaser. Raises UnavailableError."""
        self._accounts.start_probes(self._clock())
        try:
            await self._settle_abandoned(at_start=False)
            await self._hold()
            await self._expire()
        except UnavailableError:
            self._grace_until = time.monotonic() + _RECOVERY_GRACE
            raise

    async def erase(self) -> None:
        """Erase personal data whose time has come, once an hour; may take long. Raises UnavailableError."""
        now = self._clock()
        if now < self._erase_at <= now + _ERASE_EVERY:  # further ahead: the clock was set back
            return
        erased = await self._outbox.erase(now, self._config.keep_personal_data)
        self._erase_at = now + _ERASE_EVERY
        if erased:
            event(log, "outbox.erased", callbacks=erased)

    async def _settle_abandoned(self, *, at_start: bool) -> None:
        if time.monotonic() < self._grace_until:
            return
        # Where only one process can be, these are all that stand; what is not ours then was lost by us.
        found = await self._outbox.orphaned(self._clock())
        # A lease of our own can run out while the database is away: what is known of it is still to be written.
        strangers = [claim for claim in found if not self._is_local(claim)]
        # One that was ours a moment ago may be settled by now: it has to be found twice.
        before, self._suspected_orphans = (
            self._suspected_orphans,
            {(claim.callback_id, claim.token) for claim in strangers},
        )
        for claim in strangers:
            if at_start or (claim.callback_id, claim.token) in before:
                died = AttemptResult(Outcome.UNKNOWN, None, 0.0, "process_died", "")
                try:
                    await self._recorder.finish(claim, died, retry_forever=False)
                except UnavailableError:
                    raise
                except Exception:
                    log.exception("delivery.unexpected_error")  # the others are still to be settled

    async def _hold(self) -> None:
        """Let no resend go out that was decided before the settings said `hold`."""
        for callback_id in await self._outbox.hold_unknown(self._clock(), self._config.holds_unknown):
            event(log, "delivery.held", callback=callback_id)

    async def _expire(self) -> None:
        for callback_id in await self._outbox.expire(self._clock()):
            self._metrics.expired()
            event(log, "delivery.expired", logging.ERROR, callback=callback_id, reason=EXPIRED)
