"""The five reads that fill a snapshot, each one statement for the whole batch."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, Connection, Integer, String, bindparam, text
from sqlalchemy.sql.expression import TextualSelect

from app.admission.address_limits import PHONES_WINDOW
from app.admission.admission_request import AdmissionConfig, AdmissionRequest
from app.admission.ring_counts import read_ring_counts
from app.admission.snapshot import ANY_SITE, BUCKETS, MAX_CLOCK_SKEW, HeldRequest, RingSpot, Snapshot, StoredKey
from app.outbox import bulk, phone_callbacks
from app.outbox.callback import AcceptResult
from app.outbox.schema import Instant, callbacks, request_keys, used_challenges

_WINDOW: Final = (
    Column("width", Integer),
    Column("bucket", String),
    Column("site", String),
    Column("since", Instant),
)


def read_snapshot(connection: Connection, requests: Sequence[AdmissionRequest], config: AdmissionConfig) -> Snapshot:
    """Read what is stored about the requests of a batch."""
    earliest = min(request.now for request in requests)
    snapshot = Snapshot(latest=max(request.now for request in requests))
    snapshot.keys = _read_keys(connection, requests)
    snapshot.nonces = _read_nonces(connection, requests)
    phones = {request.callback.client_phone for request in requests}
    named = {request.callback.again for request in requests if request.callback.again is not None}
    found = phone_callbacks.load(connection, phones, earliest, config.per_phone, named)
    snapshot.add_callbacks(found.values())
    _read_requests(connection, requests, config, snapshot, earliest)
    spots = [RingSpot.of(request.callback) for request in requests]
    snapshot.rings = read_ring_counts(connection, spots, earliest, snapshot.latest, config.quotas)
    return snapshot


def _read_keys(connection: Connection, requests: Sequence[AdmissionRequest]) -> dict[tuple[str, str], list[StoredKey]]:
    keys = {(request.key.scope, request.key.key) for request in requests if request.key is not None}
    wanted = bulk.encode(connection, ({"scope": scope, "key": key} for scope, key in keys))
    stored: dict[tuple[str, str], list[StoredKey]] = {}
    for row in connection.execute(_keys(connection.dialect.name), {"wanted": wanted}):
        one = StoredKey(row.fingerprint, AcceptResult.from_json(row.answer), row.site, row.client_phone)
        stored.setdefault((row.scope, row.key), []).append(one)
    return stored


@cache
def _keys(dialect: str) -> TextualSelect:
    keys, wanted = request_keys.c, (request_keys.c.scope, request_keys.c.key)
    query = (
        "SELECT k.scope, k.key, k.fingerprint, k.answer, c.site, c.client_phone "
        f"FROM {bulk.rows_of(dialect, 'wanted', wanted, 'w')} "
        "CROSS JOIN request_keys AS k JOIN callbacks AS c ON c.id = k.callback_id "
        "WHERE k.scope = w.scope AND k.key = w.key"
    )
    columns = (keys.scope, keys.key, keys.fingerprint, keys.answer, callbacks.c.site, callbacks.c.client_phone)
    return text(query).columns(*columns)


def _read_nonces(connection: Connection, requests: Sequence[AdmissionRequest]) -> dict[str, str]:
    nonces = {request.nonce for request in requests if request.nonce is not None}
    rows = connection.execute(_nonces(connection.dialect.name), {"nonces": bulk.values(connection, nonces)})
    return {row.nonce: row.callback_id for row in rows}


@cache
def _nonces(dialect: str) -> TextualSelect:
    query = f"SELECT nonce, callback_id FROM used_challenges WHERE nonce {bulk.is_any(dialect, 'nonces')}"
    return text(query).columns(used_challenges.c.nonce, used_challenges.c.callback_id)


def _read_requests(
    connection: Connection,
    requests: Sequence[AdmissionRequest],
    config: AdmissionConfig,
    snapshot: Snapshot,
    earliest: datetime,
) -> None:
    """Read the requests of the batch's addresses, and the held requests of its sites.

    Their quotas bound their number: a request beyond them is refused and leaves no row.
    """
    parameters = {
        "windows": bulk.encode(connection, _windows(requests, config, earliest)),
        "until": snapshot.latest + MAX_CLOCK_SKEW,
    }
    for row in connection.execute(_requests(connection.dialect.name), parameters):
        if row.width is None:
            buckets = (row.client_bucket, row.client_bucket_56, row.client_bucket_48)
            snapshot.held.setdefault(row.site, []).append(HeldRequest(row.created_at, row.value, buckets))
        else:
            of_bucket = (BUCKETS[row.width][0], row.bucket, row.site)
            snapshot.requests.setdefault(of_bucket, []).append((row.created_at, row.value))


def _windows(
    requests: Sequence[AdmissionRequest], config: AdmissionConfig, earliest: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the windows to read: of each address at its site and over all sites, and of each site's held requests.

    A window without a bucket is that of held requests.
    """
    wanted: dict[tuple[int | None, str | None, str], timedelta] = {}
    for request in requests:
        site = request.callback.site
        quotas = config.quotas[site]
        wanted[None, None, site] = quotas.held_per_site[-1].window
        for width, (column, _) in enumerate(BUCKETS):
            bucket = getattr(request.callback, column)
            if bucket is not None:
                wanted[width, bucket, site] = max(quotas.per_address[-1].window, quotas.per_address_phones[-1].window)
                wanted[width, bucket, ANY_SITE] = PHONES_WINDOW
    for (index, bucket, site), window in wanted.items():
        yield {"width": index, "bucket": bucket, "site": site, "since": earliest - window}


@cache
def _requests(dialect: str) -> TextualSelect:
    windows = bulk.rows_of(dialect, "windows", _WINDOW, "w")
    # CROSS JOIN keeps SQLite's order of the loops: an index look-up for each window.
    branches = [
        "SELECT w.width, w.bucket, w.site, c.created_at, c.client_phone AS value, "
        f"NULL AS client_bucket, NULL AS client_bucket_56, NULL AS client_bucket_48 FROM {windows} "
        f"CROSS JOIN callbacks AS c WHERE w.width = {width} AND c.{column} = w.bucket AND c.created_at > w.since "
        f"AND c.created_at <= :until AND c.held_for IS NULL AND (w.site = '{ANY_SITE}' OR c.site = w.site)"
        for width, (column, _) in enumerate(BUCKETS)
    ]
    branches.append(
        "SELECT w.width, w.bucket, w.site, c.created_at, c.held_for AS value, "
        f"c.client_bucket, c.client_bucket_56, c.client_bucket_48 FROM {windows} "
        "CROSS JOIN callbacks AS c WHERE w.width IS NULL AND c.site = w.site AND c.created_at > w.since "
        "AND c.created_at <= :until AND c.held_for IS NOT NULL"
    )
    columns: list[Any] = [*_WINDOW[:3], callbacks.c.created_at, Column("value", String)]
    columns += [callbacks.c[name] for name, _ in BUCKETS]
    until = bindparam("until", type_=Instant())
    return text(" UNION ALL ".join(branches)).bindparams(until).columns(*columns)
