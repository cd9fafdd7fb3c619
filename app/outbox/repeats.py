"""Store and replay responses: to repeated requests, and to requests merged into another visitor's callback.

A visitor who requests a call to somebody else's number must not learn that it was requested before. Their response
looks like any other. Its id, an alias, resolves to the callback that the request was merged into. An alias counts in
its visitor's quotas like a callback. If its visitor repeats the request, they get it again.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Connection, Integer, Row, ScalarSelect, Select, String, bindparam, insert, select

from app.errors import TooManyRequestsError, UnprocessableContentError
from app.outbox import upsert
from app.outbox.callback import (
    CLIENT_BUCKETS,
    AcceptResult,
    Callback,
    CallbackStatus,
    RequestKey,
    Status,
    public_status,
)
from app.outbox.query_hints import no_index
from app.outbox.schema import callbacks, request_keys

REPEATS: Final = 20
"""How many request keys a visitor may add within an hour to a callback they have requested."""

ALIAS: Final = "alias"
"""The scope of the request keys that are aliases."""

T = TypeVar("T")
_HOUR: Final = timedelta(hours=1)
_LONGEST_DELAY: Final = timedelta(minutes=1)
_IS_ALIAS: Final = request_keys.c.scope == ALIAS
_BUCKET: Final = bindparam("bucket", type_=String())

# Built once: building a statement takes several times as long as executing it.
_ANSWERED: Final = select(request_keys.c.fingerprint, request_keys.c.answer).where(
    request_keys.c.scope == bindparam("scope"), request_keys.c.key == bindparam("key")
)


def _alias(column: Column[T]) -> ScalarSelect[T]:
    # Found by the callback, which has few keys: a visitor may have any number.
    mine = (request_keys.c.callback_id == callbacks.c.id) & (no_index(request_keys.c.client_bucket) == _BUCKET)
    newest = select(column).where(mine, _IS_ALIAS).order_by(request_keys.c.created_at.desc()).limit(1)
    return newest.scalar_subquery()


KNOWN_AS: Final = (
    _alias(request_keys.c.answer).label("alias_answer"),
    _alias(request_keys.c.created_at).label("alias_at"),
)
"""Columns of a callback's newest alias for the visitor of `bucket`: the response they got, and when."""

LATELY_KNOWN: Final = select(request_keys.c.callback_id).where(
    # Aliases only: repeating a request must not start a new window.
    request_keys.c.client_bucket == _BUCKET,
    request_keys.c.created_at > bindparam("since"),
    _IS_ALIAS,
)
"""Select the ids of callbacks for which the visitor of `bucket` got an alias after `since`."""

_LATEST: Final = (
    select(request_keys.c.created_at)
    .where(
        request_keys.c.callback_id == bindparam("callback_id"),
        ~_IS_ALIAS,
        no_index(request_keys.c.client_bucket) == _BUCKET,
        request_keys.c.created_at > bindparam("since"),
    )
    .order_by(request_keys.c.created_at.desc())
    .offset(bindparam("before", type_=Integer()))
    .limit(1)
)
_REMEMBER: Final = insert(request_keys)


def answered(connection: Connection, request_key: RequestKey) -> AcceptResult | None:
    """Return the stored response to a request, in its first form even if its callback has changed; None for a new key.

    Raises `UnprocessableContentError` if the key was used for another request.
    """
    row = connection.execute(_ANSWERED, {"scope": request_key.scope, "key": request_key.key}).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request_key.fingerprint:
        raise UnprocessableContentError(
            "request_id_reused", "This request_id came before with another request: use a new one."
        )
    return replace(_accepted(row.answer), replayed=True)


def remember(
    connection: Connection,
    request_key: RequestKey,
    callback_id: str,
    answer: AcceptResult,
    callback: Callback,
    *,
    repeats: bool,
) -> None:
    """Store the response to a request key, for replays.

    `callback_id` is the callback in the response, and `callback` the one that was requested. `repeats` is whether its
    visitor got that callback as the response to an earlier request: such keys count in `check_room`.
    """
    kept = _kept(request_key, callback_id, answer, callback.created_at)
    connection.execute(_REMEMBER, kept | {"client_bucket": callback.client_bucket if repeats else None})


def remember_alias(connection: Connection, callback: Callback, standing_id: str, answer: AcceptResult) -> None:
    """Store the id of a merged request as an alias of the callback it was merged into."""
    kept = _kept(RequestKey(ALIAS, callback.id, ""), standing_id, answer, callback.created_at)
    who = {name: getattr(callback, name) for name in CLIENT_BUCKETS}
    # If the transaction is retried, the request may be merged into another callback than before.
    written = upsert.insert(connection, request_keys)
    again = written.on_conflict_do_update(index_elements=["scope", "key"], set_={"callback_id": standing_id})
    connection.execute(again, kept | who)


def alias_of(callback: Callback, standing: Row[*tuple[Any, ...]]) -> AcceptResult | None:
    """Return the response this visitor got earlier for the same callback, with its present status; None if none.

    `standing` is the callback's row, selected with `KNOWN_AS`.
    """
    if standing.alias_answer is None:
        return None
    kept = _accepted(standing.alias_answer)
    if kept.id == callback.id:  # the transaction is being retried
        return kept
    return replace(kept, status=public_status(_told(standing, standing.alias_at, callback.created_at)), duplicate=True)


def check_room(connection: Connection, callback: Callback, standing_id: str) -> None:
    """Raise `TooManyRequestsError` if a visitor repeats a request too often: it doesn't ring again, but it is stored.

    Only the visitor's own repetitions count. Otherwise they would learn of the repetitions of others.
    """
    mine = {"callback_id": standing_id, "bucket": callback.client_bucket}
    values = mine | {"since": callback.created_at - _HOUR, "before": REPEATS - 1}
    reached = connection.execute(_LATEST, values).scalar_one_or_none()
    if reached is not None:
        wait = min(reached + _HOUR - callback.created_at, _HOUR).total_seconds()
        raise TooManyRequestsError(
            "quota_client", "Too many requests for this number. Please try again later.", retry_after=wait
        )


def leads_to(callback_id: str) -> Select[tuple[str]]:
    """Select the id of the callback that an alias resolves to."""
    keys = request_keys.c
    return select(keys.callback_id).where(_IS_ALIAS, keys.key == callback_id)


def glimpse(connection: Connection, callback_id: str, now: datetime | None) -> CallbackStatus | None:
    """Return the status of a callback by its id or by an alias; None if there is none.

    With `now` an alias shows the status that its visitor may see at that time; None shows the true one. The status of
    held callbacks is not disguised here: see `public_status`.
    """
    table, keys = callbacks.c, request_keys.c
    seen = select(table.site, table.status, table.call_expected_at)
    own = connection.execute(seen.where(table.id == callback_id)).one_or_none()
    if own is not None:
        return CallbackStatus(callback_id, own.site, own.status, own.call_expected_at)
    led_to = seen.add_columns(table.created_at, table.updated_at, keys.answer, keys.created_at.label("asked_at"))
    alias = _IS_ALIAS & (keys.key == callback_id)
    row = connection.execute(led_to.join(request_keys).where(alias)).one_or_none()
    if row is None:
        return None
    status = _told(row, row.asked_at, now) if now else row.status
    # The time in the alias's own response: another one would reveal the earlier request.
    return CallbackStatus(callback_id, row.site, status, _accepted(row.answer).call_expected_at)


def _told(standing: Row[*tuple[Any, ...]], asked_at: datetime, now: datetime) -> str:
    """Return the status of an alias as its visitor may see it.

    It is `queued` for as long as the original callback took to reach its status, 60 s at most. An instant `placed`
    would reveal that the original is older.
    """
    took = min(standing.updated_at - standing.created_at, _LONGEST_DELAY)
    return standing.status if now - asked_at >= took else Status.QUEUED


def _kept(request_key: RequestKey, callback_id: str, answer: AcceptResult, now: datetime) -> dict[str, Any]:
    expected_at = answer.call_expected_at
    return {
        "scope": request_key.scope,
        "key": request_key.key,
        "fingerprint": request_key.fingerprint,
        "callback_id": callback_id,
        "created_at": now,
        "answer": {
            "id": answer.id,
            "status": answer.status,
            "created_at": answer.created_at.isoformat(),
            "call_expected_at": expected_at and expected_at.isoformat(),
            "duplicate": answer.duplicate,
        },
    }


def _accepted(answer: Mapping[str, Any]) -> AcceptResult:
    expected_at = answer["call_expected_at"]
    return AcceptResult(
        id=answer["id"],
        status=answer["status"],
        created_at=datetime.fromisoformat(answer["created_at"]),
        call_expected_at=expected_at and datetime.fromisoformat(expected_at),
        duplicate=answer["duplicate"],
    )
