"""The rules of admission read naively: one request against all rows of all tables, without windows and indexes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from app.admission.admission_request import AdmissionConfig, AdmissionRequest
from app.errors import TooManyRequestsError
from app.outbox.rings import Limits, Ring
from app.outbox.schema import attempts, callbacks, request_keys, used_challenges

_SKEW = timedelta(minutes=1)
_STEP = timedelta(microseconds=1)
_ACTIVE = ("queued", "sending", "placed", "unknown")
_WIDTHS = (("client_bucket", 1), ("client_bucket_56", 2), ("client_bucket_48", 4))


@dataclass(frozen=True)
class Expected:
    """What becomes of a request: `word` as `deciding.result` has it, and what a merge changes."""

    word: str
    duplicate_of: str | None = None
    again_of: str | None = None
    due_at: datetime | None = None


class NaiveRules:
    """The rules, on the rows that are stored now."""

    def __init__(self, connection: Connection, config: AdmissionConfig) -> None:
        self._config = config
        self._rows = connection.execute(select(callbacks)).all()
        self._attempts = connection.execute(select(attempts)).all()
        self._keys = connection.execute(select(request_keys)).all()
        self._nonces = {row.nonce: row.callback_id for row in connection.execute(select(used_challenges))}

    def decide(self, request: AdmissionRequest) -> Expected:
        """Return what becomes of a request."""
        this, now = request.callback, request.now
        quotas = self._config.quotas[this.site]
        if request.key is not None:
            same = [row for row in self._keys if (row.scope, row.key) == (request.key.scope, request.key.key)]
            if any(row.fingerprint == request.key.fingerprint for row in same):
                return Expected("replayed")
            if same and this.api_key is not None:
                return Expected("request_id_reused")
        if request.nonce is not None and self._nonces.get(request.nonce, request.user) != request.user:
            return Expected("challenge_used")
        try:
            burst = self._is_burst(request)
        except TooManyRequestsError as refusal:
            return Expected(refusal.code)
        full = self._is_full(request)
        if this.api_key is not None and (request.phone_blocked or full):
            return Expected("blocked" if request.phone_blocked else "quota_site")
        if this.api_key is None:
            reasons = ["blocked_phone"] * request.phone_blocked + [this.held_for] * (this.held_for is not None)
            reasons += ["burst"] * burst + ["site_budget"] * full
            if reasons:
                return self._hold(request, str(reasons[0]), quotas.held_per_site)
        named = self._named(request)
        original = self._original(request, named)
        if original is not None:
            waits = original.due_at is not None and original.due_at > now
            hurry = waits and (original.status == "queued" or self._waits_for(named, original))
            return Expected("duplicate", original.id, named and named.id, now if hurry else None)
        if self._phone_is_full(request):
            return Expected("quota_phone")
        return Expected("queued", None, named and named.id)

    def _is_burst(self, request: AdmissionRequest) -> bool:
        this, now, burst = request.callback, request.now, False
        quotas = self._config.quotas[this.site]
        for column, times in _WIDTHS:
            bucket = getattr(this, column)
            if bucket is None:
                continue
            counted = [
                row
                for row in self._rows
                if getattr(row, column) == bucket and row.held_for is None and row.created_at <= now + _SKEW
            ]
            here = [row for row in counted if row.site == this.site]
            for code, limits in (
                ("quota_client", quotas.per_address),
                ("quota_client_phones", quotas.per_address_phones),
            ):
                for limit in limits:
                    recent = [row for row in here if row.created_at > now - limit.window]
                    others = {row.client_phone for row in recent} - {this.client_phone}
                    count = len(others) if code.endswith("phones") else len(recent)
                    if count >= limit.amount * times:
                        if limit.window == max(one.window for one in limits):
                            raise TooManyRequestsError(code, "", retry_after=1)
                        burst = True
            minute = {row.client_phone for row in counted if row.created_at > now - timedelta(minutes=1)}
            burst |= len(minute - {this.client_phone}) >= 20 * times
        return burst

    def _is_full(self, request: AdmissionRequest) -> bool:
        this = request.callback
        mine, network = Ring(this.rings_at, this.rings_at), this.client_network
        rings = [row for row in self._rows if row.site == this.site and row.status in _ACTIVE]
        all_of_them = [Ring(row.rings_at, row.rings_at) for row in rings]
        of_network = [Ring(row.rings_at, row.rings_at) for row in rings if row.client_network == network]
        return any(
            fullest(all_of_them, mine, limit.window) > limit.amount
            or (network is not None and fullest(of_network, mine, limit.window) > max(1, limit.amount // 2))
            for limit in self._config.quotas[this.site].per_site
        )

    def _hold(self, request: AdmissionRequest, reason: str, budget: Limits) -> Expected:
        this, now = request.callback, request.now
        innocent = ("burst", "site_budget")
        for limit in budget:
            held = [
                row
                for row in self._rows
                if row.site == this.site
                and row.held_for is not None
                and (row.held_for in innocent) == (reason in innocent)
                and now - limit.window < row.created_at <= now + _SKEW
            ]
            if len(held) >= limit.amount:
                return Expected("quota_site")
            for column, times in _WIDTHS if reason not in innocent else ():
                own = [row for row in held if getattr(row, column) is not None]
                own = [row for row in own if getattr(row, column) == getattr(this, column)]
                if len(own) >= max(1, limit.amount // 10) * times:
                    return Expected("quota_client")
        equal = [
            row
            for row in self._rows
            if row.status == "held" and row.held_for == reason and self._is_alike(request, row)
            if row.planned_time == this.planned_time
        ]
        named = self._named(request)
        return Expected(f"held for {reason}", equal[0].id if equal else None, named and named.id)

    def _is_alike(self, request: AdmissionRequest, row: Row[Any]) -> bool:
        this = request.callback
        given = (row.manager_phone if row.manager_given else None, row.message_on_ring if row.message_given else None)
        wish = (this.site, this.client_phone, this.department, this.given)
        return (row.site, row.client_phone, row.department, given) == wish

    def _named(self, request: AdmissionRequest) -> Row[Any] | None:
        """Return the request that this one repeats, if that has any effect."""
        this = request.callback
        for row in self._rows:
            if row.id == this.again and (row.site, row.client_phone) == (this.site, this.client_phone):
                asked = [other for other in self._rows if other.again_of == row.id]
                used = any(other.held_for is None or other.status not in ("held", "duplicate") for other in asked)
                is_late = row.rings_at is not None and request.now >= row.rings_at + timedelta(seconds=20)
                return row if is_late and not used else None
        return None

    def _waits_for(self, named: Row[Any] | None, original: Row[Any]) -> bool:
        return named is not None and original.id in (named.id, named.duplicate_of)

    def _original(self, request: AdmissionRequest, named: Row[Any] | None) -> Row[Any] | None:
        this, now = request.callback, request.now
        excluded: set[str | None] = set()
        if named is not None:
            to_ring = [row for row in self._rows if row.id == (named.duplicate_of or named.id)]
            if to_ring and (to_ring[0].due_at is not None or to_ring[0].status == "sending"):
                return to_ring[0]
            first = named.again_chain or named.id
            chain = [row for row in self._rows if first in (row.id, row.again_chain)]
            excluded = {one for row in chain for one in (row.id, row.duplicate_of)}
        near = []
        for row in self._rows:
            if row.status not in _ACTIVE or not self._is_alike(request, row) or row.id in excluded:
                continue
            at = row.rings_at if row.due_at is None else self._config.ring_time(row, now).at
            if abs(at - this.rings_at) <= self._config.duplicate_window:
                near.append((abs(at - this.rings_at), row))
        return min(near, key=lambda pair: pair[0])[1] if near else None

    def _phone_is_full(self, request: AdmissionRequest) -> bool:
        this, now = request.callback, request.now
        mine = [row for row in self._rows if row.client_phone == this.client_phone]
        rings = [self._config.ring_time(row, now) for row in mine if row.due_at is not None]
        ids = {row.id for row in mine}
        rings += [
            Ring(attempt.rings_at, attempt.rings_until)
            for attempt in self._attempts
            if attempt.callback_id in ids and attempt.outcome in (None, "placed", "unknown")
        ]
        waiting = [
            row
            for row in mine
            if row.status in _ACTIVE and row.api_key is None and row.planned_time and row.planned_time > now
        ]
        too_many = this.planned_time is not None and this.api_key is None and len(waiting) >= 3
        limits = self._config.per_phone
        return too_many or any(fullest(rings, this.ring, limit.window) > limit.amount for limit in limits)


def starts(rings: Sequence[Ring], window: timedelta) -> Iterator[datetime]:
    """Yield starts of windows: one within each stretch in which the rings of the window stay the same."""
    for ring in rings:
        yield from (ring.until, ring.until + _STEP, ring.at - window, ring.at - window + _STEP)


def fullest(rings: Sequence[Ring], mine: Ring, window: timedelta) -> int:
    """Return how many rings touch the fullest window that one more ring touches too, this one included."""
    together = [*rings, mine]

    def touched(start: datetime, ring: Ring) -> bool:
        return ring.at < start + window and ring.until >= start

    return max(
        sum(touched(start, ring) for ring in together) for start in starts(together, window) if touched(start, mine)
    )
