"""The snapshot that a batch of requests is decided on. Pure: `reads` fills it, each decision is recorded in it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from app.admission.admission_request import AdmissionRequest, Admitted, Decision
from app.outbox.callback import CLIENT_BUCKETS, AcceptResult, Callback, RequestKey, Status
from app.outbox.phone_callbacks import PhoneCallback

BUCKETS: Final = tuple(zip(CLIENT_BUCKETS, (1, 2, 4), strict=True))
"""The columns that count an address, and the multiple of the limit that applies to each.

An IPv6 subscriber can use any address of a network, so the /56 and the /48 around a /64 are counted as well.
"""

MAX_CLOCK_SKEW: Final = timedelta(minutes=1)
"""How far the clocks of replicas may differ. Stored times further ahead count in no window."""

ANY_SITE: Final = ""
"""In place of a site's name: the requests of an address over all sites."""


def buckets_of(callback: Callback) -> list[tuple[str, str, int]]:
    """Return what counts the address of a callback: the columns, its buckets, and the multiples of the limits."""
    buckets = ((column, getattr(callback, column), times) for column, times in BUCKETS)
    return [(column, bucket, times) for column, bucket, times in buckets if bucket is not None]


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A request key that was used, with the first response to it and the site and phone of its callback."""

    fingerprint: str
    answer: AcceptResult
    site: str
    phone: str | None


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """A request that was held: when, for which reason, and the networks of its address."""

    at: datetime
    reason: str
    buckets: tuple[str | None, str | None, str | None]


class RingWindow(NamedTuple):
    """Identifies a count of a site's rings around a moment, of all its rings or those asked for by one network.

    `length` is that of the limit's window.
    """

    site: str
    network: str | None
    length: timedelta
    moment: datetime


@dataclass(frozen=True, slots=True)
class RingCount:
    """How many rings lie less than a window from a moment, up to it and after it.

    `times` has them in ascending order where the limit may be reached, otherwise it is None.
    """

    before: int
    after: int
    times: tuple[datetime, ...] | None


class RingSpot(NamedTuple):
    """Where and when a phone is to ring: at a site, asked for by a network (None with an API key), at a time."""

    site: str
    network: str | None
    at: datetime

    @classmethod
    def of(cls, callback: Callback) -> "RingSpot":
        """Return the spot of a callback."""
        return cls(callback.site, callback.client_network, callback.rings_at)


@dataclass(slots=True)
class Snapshot:
    """What is stored about the requests of a batch, and what the decisions so far have added.

    `latest` is the latest moment of the batch's requests: rings that are asked for at once are counted around it.
    """

    latest: datetime
    keys: dict[tuple[str, str], list[StoredKey]] = field(default_factory=dict)
    nonces: dict[str, str] = field(default_factory=dict)
    callbacks: dict[str, PhoneCallback] = field(default_factory=dict)
    requests: dict[tuple[str, str, str], list[tuple[datetime, str]]] = field(default_factory=dict)
    held: dict[str, list[HeldRequest]] = field(default_factory=dict)
    rings: Mapping[RingWindow, RingCount] = field(default_factory=dict)
    new_nonces: dict[str, str] = field(default_factory=dict)
    _phones: dict[str, list[PhoneCallback]] = field(default_factory=lambda: defaultdict(list))
    _new_rings: dict[tuple[str, str | None], list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def add_callbacks(self, callbacks: Iterable[PhoneCallback]) -> None:
        """Add callbacks of phones, by id and by phone."""
        for callback in callbacks:
            self.callbacks[callback.id] = callback
            self._phones[callback.phone].append(callback)

    def of_phone(self, phone: str) -> list[PhoneCallback]:
        """Return the callbacks of a phone over all sites."""
        return self._phones.get(phone, [])

    def moment(self, rings_at: datetime) -> datetime:
        """Return the moment around which the rings of a site are counted for a ring at a time.

        Requests of one batch arrive within milliseconds, so one count does for all that ring at once.
        """
        return max(rings_at, self.latest)

    def new_rings(self, site: str, network: str | None) -> list[datetime]:
        """Return the rings at a site that were decided in this batch, of one network or of all (None)."""
        return self._new_rings.get((site, network), [])

    def use_nonce(self, nonce: str, user: str) -> None:
        """Record that a request uses its challenge."""
        self.nonces[nonce] = self.new_nonces[nonce] = user

    def record(self, request: AdmissionRequest, decision: Decision) -> None:
        """Record a decision, so that the next request of the batch is decided as if it was stored already."""
        admitted = decision.admitted
        if admitted is None:
            return
        callback = admitted.callback
        if request.key is not None and isinstance(decision.answer, AcceptResult):
            self._record_key(request.key, decision.answer, callback)
        if callback.held_for is None:
            self._record_request(callback)
        else:
            buckets = (callback.client_bucket, callback.client_bucket_56, callback.client_bucket_48)
            self.held.setdefault(callback.site, []).append(HeldRequest(request.now, callback.held_for, buckets))
        if admitted.status is Status.QUEUED:
            for network in {None, callback.client_network}:
                self._new_rings[callback.site, network].append(callback.rings_at)
        if decision.merge is not None and decision.merge.due_at is not None:
            self.callbacks[decision.merge.into].due_at = decision.merge.due_at
        self.add_callbacks([_stored(admitted)])

    def _record_key(self, key: RequestKey, answer: AcceptResult, callback: Callback) -> None:
        stored = StoredKey(key.fingerprint, answer, callback.site, callback.client_phone)
        self.keys.setdefault((key.scope, key.key), []).append(stored)

    def _record_request(self, callback: Callback) -> None:
        for column, bucket, _ in buckets_of(callback):
            for site in (callback.site, ANY_SITE):
                of_bucket = self.requests.setdefault((column, bucket, site), [])
                of_bucket.append((callback.created_at, callback.client_phone))


def _stored(admitted: Admitted) -> PhoneCallback:
    """Return an admitted request as the next one of its batch sees it."""
    callback, status = admitted.callback, admitted.status
    return PhoneCallback(
        id=callback.id,
        site=callback.site,
        phone=callback.client_phone,
        status=status,
        route=callback.route,
        department=callback.department,
        given=callback.given,
        by_visitor=callback.api_key is None,
        created_at=callback.created_at,
        planned_time=callback.planned_time,
        nwt_action=callback.nwt_action,
        call_stack_start_hour=callback.call_stack_start_hour,
        call_stack_interval=callback.call_stack_interval,
        due_at=callback.due_at if status is Status.QUEUED else None,
        rings_at=None if status is Status.HELD else callback.rings_at,
        call_expected_at=callback.call_expected_at,
        held_for=callback.held_for,
        duplicate_of=admitted.duplicate_of,
        again_of=admitted.again_of,
        again_chain=admitted.again_chain,
    )
