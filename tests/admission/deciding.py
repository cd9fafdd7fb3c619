"""Factories for tests of `decide`: a config, requests, stored callbacks and snapshots, without a database."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.admission.admission_request import AdmissionConfig, AdmissionRequest, Decision, Quotas
from app.admission.decide import decide
from app.admission.snapshot import ANY_SITE, BUCKETS, HeldRequest, RingCount, RingWindow, Snapshot
from app.errors import ServiceError
from app.outbox.callback import AcceptResult, Callback, RequestKey, Status
from app.outbox.phone_callbacks import PhoneCallback
from app.outbox.rings import Ring
from tests.outbox.factories import NOW, admission_config, callback, from_address, limits

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PHONE = "79161234567"
"""The phone of `callback`."""
OTHER_PHONE = "79161234568"
OTHER_ADDRESS = "198.51.100.1"
API_KEY = "crm"
KEY = RequestKey("site:shop", "key-1", "a" * 64)
FREE = "1000000/hour"
"""A limit that no test reaches."""


def config(quotas: Mapping[str, str] | None = None, **changes: Any) -> AdmissionConfig:
    """Return a config; `quotas` are those of all sites by their names, and every other limit is out of reach."""
    names = ("per_address", "per_address_phones", "per_site", "held_per_site")
    texts = dict.fromkeys(names, FREE) | dict(quotas or {})
    if isinstance(changes.get("per_phone"), str):
        changes["per_phone"] = limits(changes["per_phone"])
    return admission_config(Quotas(**{name: limits(text) for name, text in texts.items()}), **changes)


def request(
    address: str | None = None,
    *,
    key: RequestKey | None = None,
    nonce: str | None = None,
    address_blocked: bool = False,
    phone_blocked: bool = False,
    **changes: Any,
) -> AdmissionRequest:
    """Return a request of a visitor at `NOW`, or with `api_key` that of an integration."""
    made = callback(**changes) if address is None else from_address(address, **changes)
    return AdmissionRequest(made, key, nonce, address_blocked=address_blocked, phone_blocked=phone_blocked)


def stored(status: Status = Status.QUEUED, **changes: Any) -> PhoneCallback:
    """Return a stored callback of `PHONE`, requested a second before `NOW` unless `created_at` says otherwise.

    It is queued and due, or was sent when it was requested.
    """
    created_at = changes.get("created_at", NOW - SECOND)
    rings_at = changes.get("rings_at", changes.get("planned_time") or created_at)
    has_rung = status in (Status.SENDING, Status.PLACED, Status.UNKNOWN)
    values: dict[str, Any] = {
        "id": callback(created_at=created_at).id,
        "site": "shop",
        "phone": PHONE,
        "status": status,
        "route": ("4711", 12345),
        "department": None,
        "given": (None, None),
        "by_visitor": True,
        "created_at": created_at,
        "planned_time": None,
        "nwt_action": None,
        "call_stack_start_hour": None,
        "call_stack_interval": None,
        "due_at": created_at if status is Status.QUEUED else None,
        "rings_at": None if status is Status.HELD else rings_at,
        "call_expected_at": rings_at,
        "held_for": "honeypot" if status is Status.HELD else None,
        "rang": [Ring(rings_at, rings_at)] if has_rung else [],
    }
    return PhoneCallback(**values | changes)


@dataclass(frozen=True)
class StoredRing:
    """A ring of a site, as the table has it."""

    at: datetime
    network: str | None = None
    site: str = "shop"


class StoredRings(Mapping[RingWindow, RingCount]):
    """Counts of a site's rings, as `ring_counts` reads them."""

    def __init__(self, rings: Iterable[StoredRing]) -> None:
        self._rings = list(rings)

    def __getitem__(self, window: RingWindow) -> RingCount:
        times = sorted(
            ring.at
            for ring in self._rings
            if ring.site == window.site
            and window.network in (None, ring.network)
            and abs(ring.at - window.moment) < window.length
        )
        before = sum(at <= window.moment for at in times)
        return RingCount(before, len(times) - before, tuple(times))

    def __iter__(self) -> Iterator[RingWindow]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


def snapshot(
    *callbacks: PhoneCallback,
    requests: Iterable[Callback] = (),
    held: Iterable[Callback] = (),
    rings: Iterable[StoredRing] = (),
    latest: datetime = NOW,
) -> Snapshot:
    """Return a snapshot with callbacks of phones, requests of addresses, held requests, and rings of sites."""
    found = Snapshot(latest, rings=StoredRings(rings))
    found.add_callbacks(callbacks)
    for one in requests:
        for column, _ in BUCKETS:
            bucket = getattr(one, column)
            for site in (one.site, ANY_SITE) if bucket is not None else ():
                found.requests.setdefault((column, bucket, site), []).append((one.created_at, one.client_phone))
    for one in held:
        assert one.held_for is not None
        buckets = (one.client_bucket, one.client_bucket_56, one.client_bucket_48)
        found.held.setdefault(one.site, []).append(HeldRequest(one.created_at, one.held_for, buckets))
    return found


def result(decision: Decision) -> str:
    """Return a decision in a word: the code of the refusal, "replayed", "held for" its reason, or the status."""
    if isinstance(decision.answer, ServiceError):
        assert (decision.admitted, decision.merge) == (None, None)
        return str(decision.answer.code)
    if decision.answer.replayed:
        assert (decision.admitted, decision.merge) == (None, None)
        return "replayed"
    assert decision.admitted is not None
    if decision.admitted.callback.held_for is not None:
        return f"held for {decision.admitted.callback.held_for}"
    return str(decision.admitted.status)


def results(some: Iterable[AdmissionRequest], found: Snapshot, rules: AdmissionConfig) -> list[str]:
    """Decide requests one after another on one snapshot."""
    return [result(decide(one, found, rules)) for one in some]


def answered(decision: Decision) -> AcceptResult:
    """Return the answer to an accepted request."""
    assert isinstance(decision.answer, AcceptResult), decision.answer
    return decision.answer


def refused(decision: Decision) -> ServiceError:
    """Return the error of a refused request."""
    assert isinstance(decision.answer, ServiceError), decision.answer
    return decision.answer


def covered_by(decision: Decision) -> str | None:
    """Return the id of the callback that a request was merged into."""
    assert decision.admitted is not None, decision.answer
    assert (decision.admitted.duplicate_of is not None) == (decision.admitted.status is Status.DUPLICATE)
    return decision.admitted.duplicate_of


def ring_at(at: datetime, until: datetime | None = None) -> Any:
    """Return a `ring_time` of a site where every call rings at a time."""
    return lambda _wish, _now: Ring(at, until or at)
