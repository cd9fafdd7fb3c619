"""Reads of admission outside its batch."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, or_, select

from app.admission.admission_request import AdmissionConfig
from app.admission.ring_counts import read_ring_counts
from app.admission.site_budget import is_over_budget
from app.admission.snapshot import RingSpot, Snapshot
from app.outbox.callback import AcceptResult, RequestKey
from app.outbox.rings import Ring
from app.outbox.schema import LEGACY_FINGERPRINT, callbacks, request_keys


def stored_replay(connection: Connection, key: RequestKey, site: str, phone: str | None) -> AcceptResult | None:
    """Return the first response to a request that can't be validated any more; None if its key is new.

    `phone` is in digits, None if it can't be read. Keys of versions before 0.2.0 match by site and phone.
    """
    keys = request_keys.c
    is_legacy = (
        (keys.fingerprint == LEGACY_FINGERPRINT) & (callbacks.c.site == site) & (callbacks.c.client_phone == phone)
    )
    same = (keys.scope == key.scope) & (keys.key == key.key) & or_(keys.fingerprint == key.fingerprint, is_legacy)
    answer = connection.scalar(select(keys.answer).join(callbacks).where(same).limit(1))
    return None if answer is None else replace(AcceptResult.from_json(answer), replayed=True)


def has_room(connection: Connection, site: str, ring: Ring, now: datetime, config: AdmissionConfig) -> bool:
    """Return whether a site has room for one more ring: a site over its budget promises nobody a time."""
    spot, snapshot = RingSpot(site, None, ring.at), Snapshot(now)
    snapshot.rings = read_ring_counts(connection, [spot], now, now, config.quotas)
    return not is_over_budget(spot, snapshot, config.quotas[site].per_site)
