"""SQL of accepting: the same request again, the same phone again, the quotas, and the insert; one transaction."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, or_, select

from app.errors import Invalid
from app.outbox.callback import Accepted, Callback, RequestKey, Status
from app.outbox.quotas import Quotas, check_quotas
from app.outbox.schema import callbacks, request_keys

ALIAS: Final = "alias"
"""The scope of request keys that are ids given to somebody whose request found another one's callback."""

# A visitor who asks again after one of these is answered with the same callback. After a failed or cancelled one
# the second request is a new wish.
_STANDING = (Status.HELD, Status.QUEUED, Status.SENDING, Status.DELIVERED, Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class AcceptRules:
    """What accepting depends on: how long a second request for the same phone counts as the first, and the quotas."""

    duplicate_window: timedelta
    quotas: Quotas


def accept(connection: Connection, callback: Callback, request_key: RequestKey | None, rules: AcceptRules) -> Accepted:
    """Write the callback down, or find the one that stands for it already.

    Raises Invalid when the request key was used for another request, TooMany when a quota is reached.
    """
    if request_key is not None and (answered := _answered(connection, request_key)) is not None:
        # The id is ours when the connection was lost during the first commit, and this work runs again.
        return answered if answered.id == callback.id else replace(answered, replayed=True)
    standing = _standing(connection, callback, rules.duplicate_window)
    if standing is None:
        check_quotas(connection, callback, rules.quotas)
        connection.execute(
            insert(callbacks).values(asdict(callback) | {"status": Status.QUEUED, "updated_at": callback.created_at})
        )
    answer = Accepted(callback.id, Status.QUEUED, callback.created_at, callback.call_expected_at)
    callback_id = callback.id
    if standing is not None and standing.id != callback.id:
        callback_id = standing.id
        if callback.client_bucket in (None, standing.client_bucket):
            answer = Accepted(
                standing.id, standing.status, standing.created_at, standing.call_expected_at, duplicate=True
            )
        else:
            # Whoever asks for somebody else's number isn't told that it was asked for: the answer looks like any
            # other, and its id leads to the callback that stands.
            _remember(connection, RequestKey(ALIAS, callback.id, ""), callback_id, answer)
    if request_key is not None:
        # Also for a duplicate: its answer may get lost, and its repetition may come after the window.
        _remember(connection, request_key, callback_id, answer)
    return answer


def _remember(connection: Connection, request_key: RequestKey, callback_id: str, answer: Accepted) -> None:
    expected_at = answer.call_expected_at
    connection.execute(
        insert(request_keys).values(
            scope=request_key.scope,
            key=request_key.key,
            fingerprint=request_key.fingerprint,
            callback_id=callback_id,
            created_at=answer.created_at,
            answer={
                "id": answer.id,
                "status": answer.status,
                "created_at": answer.created_at.isoformat(),
                "call_expected_at": expected_at and expected_at.isoformat(),
                "duplicate": answer.duplicate,
            },
        )
    )


def _answered(connection: Connection, request_key: RequestKey) -> Accepted | None:
    """Give what was answered to this request the first time, whatever has become of the callback since."""
    row = connection.execute(
        select(request_keys.c.fingerprint, request_keys.c.answer).where(
            request_keys.c.scope == request_key.scope, request_keys.c.key == request_key.key
        )
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request_key.fingerprint:
        raise Invalid("request_id_reused", "This request_id came before with another request: use a new one.")
    expected_at = row.answer["call_expected_at"]
    return Accepted(
        id=row.answer["id"],
        status=row.answer["status"],
        created_at=datetime.fromisoformat(row.answer["created_at"]),
        call_expected_at=expected_at and datetime.fromisoformat(expected_at),
        duplicate=row.answer["duplicate"],
    )


def _standing(connection: Connection, callback: Callback, window: timedelta) -> Row[*tuple[Any, ...]] | None:
    """Find the callback for the same phone and site within the window, or this very one."""
    table = callbacks.c
    return connection.execute(
        select(table.id, table.status, table.created_at, table.call_expected_at, table.client_bucket)
        .where(
            table.client_phone == callback.client_phone,
            table.site == callback.site,
            table.status.in_(_STANDING),
            # Up to the window ahead as well: later ones were written before the clock was set back.
            or_(
                table.id == callback.id,
                (table.created_at > callback.created_at - window) & (table.created_at < callback.created_at + window),
            ),
        )
        .order_by(table.created_at.desc())
        .limit(1)
    ).one_or_none()
