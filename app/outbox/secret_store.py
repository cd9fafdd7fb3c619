"""The service's own secret: random, made at the first start, and the same for all processes on this database.

It hashes the fingerprints of request keys, so these stay valid when SECRET_KEY changes. Challenges are signed with
SECRET_KEY, or with this secret if that is not set. A challenge signed before a change stays valid for its ten minutes.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Final

from sqlalchemy import Connection, select, update

from app.outbox import upsert
from app.outbox.schema import LEGACY_SIGNING, service_secrets

_IN_FLIGHT: Final = timedelta(minutes=10)  # no challenge is valid for longer


@dataclass(frozen=True, slots=True)
class Secrets:
    """`hashing`: for fingerprints. `signing`: for challenges. `previous`: signed these until a time shortly ago."""

    hashing: bytes = field(repr=False)
    signing: bytes = field(repr=False)
    previous: tuple[bytes, datetime] | None = field(repr=False)


def load_secrets(
    connection: Connection, secret_key: bytes | None, legacy: Callable[[], bytes], now: datetime
) -> Secrets:
    """Return the secrets, and insert them at the first start. All processes that start at once get the same ones.

    `secret_key` is the setting. `legacy` returns what versions before 0.2.0 signed with. Only a digest of the setting
    is stored.
    """
    made = token_bytes(32)
    first = {"id": 1, "secret": made.hex(), "signing": _signing(secret_key or made)}
    connection.execute(upsert.insert(connection, service_secrets).values(first).on_conflict_do_nothing())
    row = connection.execute(select(service_secrets).with_for_update()).one()
    secret = bytes.fromhex(row.secret)
    signing, previous, changed_at = _signing(secret_key or secret), row.previous, row.changed_at
    if signing != row.signing:
        previous, changed_at = row.signing, now
        connection.execute(update(service_secrets).values(signing=signing, previous=previous, changed_at=now))
    before = None
    if changed_at is not None and now - changed_at < _IN_FLIGHT:
        before = legacy() if previous == LEGACY_SIGNING else bytes.fromhex(previous), changed_at
    return Secrets(secret, bytes.fromhex(signing), before)


def _signing(secret: bytes) -> str:
    return hmac.new(secret, b"challenges", hashlib.sha256).hexdigest()
