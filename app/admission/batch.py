"""Admit a batch of requests in one transaction: lock, read, decide, write.

The number of statements doesn't depend on the batch, nor on what is decided. So their time tells a visitor nothing, and
a burst costs little more than one request.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.sql.expression import TextualSelect

from app.admission.admission_request import AdmissionConfig, AdmissionRequest, Admitted, Decision
from app.admission.decide import decide
from app.admission.locks import lock_names
from app.admission.reads import read_snapshot
from app.admission.snapshot import Snapshot
from app.outbox import bulk
from app.outbox.advisory_locks import lock
from app.outbox.callback import ACTIVE_STATUSES, AcceptResult, RequestKey, Status
from app.outbox.group_commit import storage_unavailable
from app.outbox.schema import callbacks, request_keys, used_challenges
from app.outbox.transitions import NewCallback, insert_callbacks

NONCES_KEPT: Final = timedelta(days=2)
"""How long a used challenge is remembered. Far longer than it is valid: a clock may be set back by hours."""

_ROUNDS: Final = 5
_MERGE: Final = (callbacks.c.id, callbacks.c.give_up_at, callbacks.c.due_at)
_KEY_COLUMNS: Final = tuple(request_keys.c)
_NONCE_COLUMNS: Final = tuple(used_challenges.c)


def admit_batch(
    connection: Connection, requests: Sequence[AdmissionRequest], config: AdmissionConfig
) -> list[Decision]:
    """Decide requests in their order, and store what is accepted; return a decision for each.

    On PostgreSQL the transaction must be READ COMMITTED and have locked nothing yet.
    """
    lock(connection, (name for request in requests for name in lock_names(request)))
    for _ in range(_ROUNDS):
        snapshot = read_snapshot(connection, requests, config)
        decisions = [decide(request, snapshot, config) for request in requests]
        if _write_merges(connection, decisions):
            break
    else:
        raise storage_unavailable()  # otherwise a request could be stored as the duplicate of a cancelled one
    _write(connection, requests, decisions, snapshot)
    return decisions


def _write_merges(connection: Connection, decisions: Iterable[Decision]) -> bool:
    """Extend the deadlines of the callbacks that requests were merged into. Return False to decide once more.

    Cancelling, expiring and erasing need no lock. So a callback may have ended since it was read, and then it can't
    cover a request. This statement locks it.
    """
    new = {decision.admitted.callback.id for decision in decisions if decision.admitted is not None}
    merges = [decision.merge for decision in decisions if decision.merge is not None]
    latest: dict[str, dict[str, Any]] = {}
    for merge in merges:
        if merge.into in new:
            continue  # of this batch: not stored yet, and nobody else sees it
        row = latest.setdefault(merge.into, {"id": merge.into, "give_up_at": merge.give_up_at, "due_at": None})
        row["give_up_at"] = max(row["give_up_at"], merge.give_up_at)
        row["due_at"] = merge.due_at or row["due_at"]
    statement = _merges(connection.dialect.name)
    extended = connection.execute(statement, {"rows": bulk.encode(connection, latest.values())}).all()
    return len(extended) == len(latest)


@cache
def _merges(dialect: str) -> TextualSelect:
    statuses = ", ".join(f"'{status}'" for status in ACTIVE_STATUSES)
    statement = (
        "UPDATE callbacks SET "
        "give_up_at = CASE WHEN m.give_up_at > callbacks.give_up_at THEN m.give_up_at ELSE callbacks.give_up_at END, "
        "due_at = CASE WHEN m.due_at < callbacks.due_at THEN m.due_at ELSE callbacks.due_at END "
        f"FROM {bulk.rows_of(dialect, 'rows', _MERGE, 'm')} "
        f"WHERE callbacks.id = m.id AND callbacks.status IN ({statuses}) RETURNING callbacks.id"
    )
    return text(statement).columns(callbacks.c.id)


def _write(
    connection: Connection, requests: Sequence[AdmissionRequest], decisions: Sequence[Decision], snapshot: Snapshot
) -> None:
    insert_callbacks(connection, [_new_callback(one.admitted) for one in decisions if one.admitted is not None])
    keys = [
        _key_row(request.key, request.now, decision.answer)
        for request, decision in zip(requests, decisions, strict=True)
        if request.key is not None and decision.admitted is not None and isinstance(decision.answer, AcceptResult)
    ]
    bulk.insert_rows(connection, request_keys.name, _KEY_COLUMNS, keys)
    kept_until = snapshot.latest + NONCES_KEPT
    nonces = [
        {"nonce": nonce, "callback_id": user, "expires_at": kept_until} for nonce, user in snapshot.new_nonces.items()
    ]
    bulk.insert_rows(connection, used_challenges.name, _NONCE_COLUMNS, nonces)


def _new_callback(admitted: Admitted) -> NewCallback:
    callback, held = admitted.callback, admitted.status is Status.HELD
    values = {
        **callback.columns(),
        "due_at": callback.due_at if admitted.status is Status.QUEUED else None,
        "rings_at": None if held else callback.rings_at,
        "rings_until": None if held else callback.rings_until,
        "duplicate_of": admitted.duplicate_of,
        "again_of": admitted.again_of,
        "again_chain": admitted.again_chain,
    }
    return NewCallback(values, admitted.status, callback.held_for if held else None)


def _key_row(key: RequestKey, created_at: datetime, answer: AcceptResult) -> dict[str, Any]:
    return {
        "scope": key.scope,
        "key": key.key,
        "fingerprint": key.fingerprint,
        "callback_id": answer.id,
        "created_at": created_at,
        "answer": answer.to_json(),
    }
