"""The conductor of the accept path: from a validated body and its sender to the stored callback. Knows no HTTP."""

import asyncio
import logging
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from app.admission.admission_queries import has_room, stored_replay
from app.admission.admission_request import AdmissionConfig, AdmissionRequest, BudgetUsage, Decision
from app.admission.batch import admit_batch
from app.admission.requeue import Action, requeue
from app.admission.site_budget import ALL
from app.edge.challenge_difficulty import AdaptiveDifficulty
from app.edge.proof_of_work import Challenges
from app.errors import ForbiddenError, ServiceError, UnavailableError, UnprocessableContentError
from app.intake.bot_detection import hold_reason
from app.intake.build_callback import Sender, build_callback
from app.intake.callback_request import CallbackRequest
from app.intake.phone import PhoneError, read_phone
from app.intake.working_hours import ring_time
from app.logs import event, mask_phone
from app.metrics import Metrics, Result
from app.net.client_address import Bucket
from app.net.origins import Origins
from app.outbox.callback import AcceptResult, RequestKey, Status
from app.outbox.outbox import Outbox
from app.settings import Settings

log = logging.getLogger(__name__)

_ROOM_KNOWN_FOR: Final = timedelta(seconds=2)
"""How long the site's page may promise a time by one look at its budget."""
_ROOM_TIMEOUT: Final = 2.0  # seconds


class Admission:
    """Admits requests. `clock` returns the time in UTC; `origins` is by site, and `config` what decides."""

    def __init__(
        self,
        outbox: Outbox,
        settings: Settings,
        config: AdmissionConfig,
        *,
        challenges: Challenges,
        difficulty: AdaptiveDifficulty,
        origins: Mapping[str, Origins],
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._config = config
        self._challenges = challenges
        self._difficulty = difficulty
        self._origins = origins
        self._metrics = metrics
        self._clock = clock
        self._batch = partial(admit_batch, config=config)  # one object: requests of one batch share it
        self._room: dict[str, tuple[datetime, bool]] = {}
        self._warned: MutableMapping[tuple[str, str, int], datetime] = {}

    async def admit(
        self, body: CallbackRequest, sender: Sender, key: RequestKey | None, buckets: Sequence[Bucket]
    ) -> AcceptResult:
        """Accept a request, or replay the first response to it if its request key was used before.

        A replay holds even if the same request would be refused by now: its planned time is past, its challenge has
        expired or the settings have changed. `buckets` are the networks of the sender. Raises the ServiceError of the
        refusal.
        """
        try:
            request = await self._build(body, sender, key, buckets)
        except (UnprocessableContentError, ForbiddenError):
            # Look up the key only after a refusal, so that an ordinary request does not pay for a second query.
            replayed = await self._stored_replay(body, key) if key else None
            if replayed is None:
                raise
            self._log(body.site, sender, replayed, None)
            return replayed
        decision = await self._outbox.write_batched(self._batch, request)
        if isinstance(decision.answer, ServiceError):
            raise decision.answer
        self._warn_of_budget(decision.budget)
        if _wakes_worker(decision):
            self._outbox.notify()
        self._log(body.site, sender, decision.answer, decision)
        return decision.answer

    async def requeue(self, action: Action, callback_id: str, actor: str) -> None:
        """Release or retry a callback. See `requeue.requeue`."""
        work = partial(
            requeue,
            action=action,
            callback_id=callback_id,
            now=self._clock(),
            give_up_after=self._settings.give_up_after,
            actor=actor,
            config=self._config,
        )
        await self._outbox.write(work, isolated=True)
        self._outbox.notify()

    async def promise(self, site: str, now: datetime) -> datetime | None:
        """Return when a request sent now would be called; None if that is unknown, or the site is over its budget.

        Without an answer of the database within two seconds it is None too: the page must not wait for it.
        """
        settings = self._settings.sites[site]
        start_hour, interval = settings.call_stack_start_hour, settings.call_stack_interval
        ring = ring_time(settings, settings.nwt_action, start_hour, interval, now, now)
        if ring.promise is None:
            return None
        checked, room = self._room.get(site, (None, False))
        if checked is None or not now - _ROOM_KNOWN_FOR < checked <= now:
            try:
                async with asyncio.timeout(_ROOM_TIMEOUT):
                    room = await self._outbox.read(
                        partial(has_room, site=site, ring=ring, now=now, config=self._config)
                    )
            except (TimeoutError, UnavailableError):
                room = False
            self._room[site] = now, room
        return ring.promise if room else None

    async def _stored_replay(self, body: CallbackRequest, key: RequestKey) -> AcceptResult | None:
        try:
            phone = read_phone(body.client_phone, self._settings.sites[body.site].regions).digits
        except PhoneError:
            phone = None
        return await self._outbox.read(partial(stored_replay, key=key, site=body.site, phone=phone))

    async def _build(
        self, body: CallbackRequest, sender: Sender, key: RequestKey | None, buckets: Sequence[Bucket]
    ) -> AdmissionRequest:
        """Verify the challenge and build the request. Raises UnprocessableContentError and ForbiddenError."""
        solved = None
        # Verify the proof of work first. Otherwise phone numbers could be tested without it.
        if sender.api_key is None and self._settings.sites[body.site].asks_for_challenge:
            solved = self._challenges.verify(body.challenge, body.site)
        allows = self._origins[body.site].allows
        callback = build_callback(body, sender, self._settings, self._clock(), origin_allowed=allows)
        if sender.api_key is None:
            reason = hold_reason(
                honeypot=body.website,
                age=solved.age if solved else None,
                phone_certain=callback.phone_certain,
                elevated=self._difficulty.is_elevated(buckets),
            )
            if reason is not None:
                callback = replace(callback, held_for=reason)
        blocked = await self._outbox.blocked()
        return AdmissionRequest(
            callback,
            key,
            solved.nonce if solved else None,
            address_blocked=callback.client_ip is not None and blocked.address(callback.client_ip),
            phone_blocked=blocked.phone(callback.client_phone),
        )

    def _log(self, site: str, sender: Sender, answer: AcceptResult, decision: Decision | None) -> None:
        admitted = decision.admitted if decision else None
        callback = admitted.callback if admitted else None
        self._metrics.accepted(site, _result(answer, decision))
        event(
            log,
            "callback.accepted",
            callback=callback.id if callback else answer.id,
            site=site,
            client_phone=mask_phone(callback.client_phone) if callback else None,
            duplicate_of=admitted.duplicate_of if admitted else None,
            replayed=answer.replayed,
            hold=callback.held_for if callback else None,
            api_key=sender.api_key,
        )

    def _warn_of_budget(self, usage: Sequence[BudgetUsage]) -> None:
        """Log that a site has used 80 or 100 % of a limit, each once in the limit's window.

        Otherwise a busy site at its limit would cause a warning with nearly every callback. Every process keeps its
        own record.
        """
        for one in usage:
            this = (one.site, one.limit.text, one.percent)
            before = self._warned.get(this)
            if before is None or not before <= one.at < before + one.limit.window:
                self._warned[this] = one.at
                level = logging.ERROR if one.percent == ALL else logging.WARNING
                event(log, "quota.site_budget", level, site=one.site, percent=one.percent, limit=one.limit.text)


def _wakes_worker(decision: Decision) -> bool:
    queued = decision.admitted is not None and decision.admitted.status is Status.QUEUED
    return queued or (decision.merge is not None and decision.merge.due_at is not None)


def _result(answer: AcceptResult, decision: Decision | None) -> Result:
    if answer.replayed or decision is None or decision.admitted is None:
        return "replayed"
    if decision.admitted.callback.held_for is not None:
        return "held"
    return "duplicate" if decision.admitted.status is Status.DUPLICATE else "new"
