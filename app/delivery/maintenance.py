"""What the passing of time asks for: probes, claims that a dead process left, giving up, erasing."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from app.delivery.attempt import Happened
from app.delivery.circuit_breaker import Accounts
from app.delivery.delivery_config import DeliveryRules
from app.delivery.recorder import Recorder
from app.delivery.retry_policy import TOO_OLD, Outcome
from app.errors import Unavailable
from app.logs import event
from app.metrics import Metrics
from app.outbox.claims import Claim
from app.outbox.outbox import Outbox

log = logging.getLogger(__name__)

_ERASE_EVERY = timedelta(hours=1)
_GRACE = 10.0
"""Seconds after the database was away in which no lease counts as run out.

Other processes may have been cut off from it as well, and now come to write down what they know.
"""


class Care:
    """Looks after the outbox. ``ours`` tells whether this very process still works on a claim."""

    def __init__(
        self,
        outbox: Outbox,
        accounts: Accounts,
        recorder: Recorder,
        rules: DeliveryRules,
        clock: Callable[[], datetime],
        ours: Callable[[Claim], bool],
        metrics: Metrics | None = None,
    ) -> None:
        self._outbox = outbox
        self._accounts = accounts
        self._recorder = recorder
        self._rules = rules
        self._clock = clock
        self._ours = ours
        self._metrics = metrics or Metrics()
        self._strangers: set[tuple[str, str]] = set()  # claims that were nobody's at the last look
        self._grace_until = 0.0
        self._erase_at = clock()

    async def begin(self) -> None:
        """Settle what a dead process left behind. Raises Unavailable."""
        await self._settle_abandoned(at_start=True)
        await self._hold()

    async def look_round(self) -> None:
        """Do all that is due, without waiting for Chaser. Raises Unavailable."""
        self._accounts.probe(self._clock())
        try:
            await self._settle_abandoned(at_start=False)
            await self._hold()
            await self._expire()
        except Unavailable:
            self._grace_until = time.monotonic() + _GRACE
            raise

    async def erase(self) -> None:
        """Erase personal data whose time has come, once an hour; may take long. Raises Unavailable."""
        now = self._clock()
        if now < self._erase_at <= now + _ERASE_EVERY:  # further ahead: the clock was set back
            return
        erased = await self._outbox.erase(now - self._rules.keep_personal_data)
        self._erase_at = now + _ERASE_EVERY
        if erased:
            event(log, "outbox.erased", callbacks=erased)

    async def _settle_abandoned(self, *, at_start: bool) -> None:
        if time.monotonic() < self._grace_until:
            return
        # Where only one process can be, these are all that stand; what is not ours then was lost by us.
        found = await self._outbox.abandoned(self._clock())
        # A lease of our own can run out while the database is away: what is known of it is still to be written.
        strangers = [claim for claim in found if not self._ours(claim)]
        # One that was ours a moment ago may be settled by now: it has to be found twice.
        before, self._strangers = self._strangers, {(claim.callback_id, claim.token) for claim in strangers}
        for claim in strangers:
            if at_start or (claim.callback_id, claim.token) in before:
                died = Happened(Outcome.UNKNOWN, None, 0.0, "process_died", "")
                try:
                    await self._recorder.settle(claim, died, patient=False)
                except Unavailable:
                    raise
                except Exception:
                    log.exception("delivery.unexpected_error")  # the others are still to be settled

    async def _hold(self) -> None:
        """Let no resend go out that was decided before the settings said `hold`."""
        for callback_id in await self._outbox.hold_unknown(self._clock(), self._rules.holds):
            event(log, "delivery.waits_for_a_person", callback=callback_id)

    async def _expire(self) -> None:
        for callback_id in await self._outbox.expire(self._clock()):
            self._metrics.gave_up()
            event(log, "delivery.gave_up", logging.ERROR, callback=callback_id, reason=TOO_OLD)
