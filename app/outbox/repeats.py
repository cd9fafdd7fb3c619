"""SQL of what was answered before: to the same request, and to strangers whose request found another one's callback.

Whoever asks for somebody else's number isn't told that it was asked for. The answer looks like any other, and its id,
an alias, leads to the callback that stands. An alias does all that its callback would have done, but ring: it counts in
the quotas of who asked, takes a place in the queue of the night, and who asks once more is answered with it again.
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
from app.outbox.night_queue import stands_in_line
from app.outbox.plans import unindexed
from app.outbox.schema import callbacks, request_keys

REPEATS: Final = 20
"""How many request keys a visitor may add to a callback he has asked for, within an hour."""

ALIAS: Final = "alias"
"""The scope of the request keys that are aliases."""

T = TypeVar("T")
_HOUR: Final = timedelta(hours=1)
_LONGEST_DELAY: Final = timedelta(minutes=1)
_IS_ALIAS: Final = request_keys.c.scope == ALIAS
_BUCKET: Final = bindparam("bucket", type_=String())

# Statements are made once: to put one together takes several times as long as to execute it.
_ANSWERED: Final = select(request_keys.c.fingerprint, request_keys.c.answer).where(
    request_keys.c.scope == bindparam("scope"), request_keys.c.key == bindparam("key")
)


def _alias(column: Column[T]) -> ScalarSelect[T]:
    # By the callback, which has few: a bucket may have any number.
    mine = (request_keys.c.callback_id == callbacks.c.id) & (unindexed(request_keys.c.client_bucket) == _BUCKET)
    newest = select(column).where(mine, _IS_ALIAS).order_by(request_keys.c.created_at.desc()).limit(1)
    return newest.scalar_subquery()


KNOWN_AS: Final = (
    _alias(request_keys.c.answer).label("alias_answer"),
    _alias(request_keys.c.created_at).label("alias_at"),
)
"""Of a callback, the newest alias by which the visitor of ``bucket`` knows it: what he was answered, and when."""

LATELY_KNOWN: Final = select(request_keys.c.callback_id).where(
    # Aliases alone: to repeat a request begins no new window.
    request_keys.c.client_bucket == _BUCKET,
    request_keys.c.created_at > bindparam("since"),
    _IS_ALIAS,
)
"""The ids of callbacks for which the visitor of ``bucket`` was given an alias after ``since``."""

_LATEST: Final = (
    select(request_keys.c.created_at)
    .where(
        request_keys.c.callback_id == bindparam("callback_id"),
        ~_IS_ALIAS,
        unindexed(request_keys.c.client_bucket) == _BUCKET,
        request_keys.c.created_at > bindparam("since"),
    )
    .order_by(request_keys.c.created_at.desc())
    .offset(bindparam("before", type_=Integer()))
    .limit(1)
)
_REMEMBER: Final = insert(request_keys)


def answered(connection: Connection, request_key: RequestKey) -> AcceptResult | None:
    """Give what was answered to this request the first time, whatever has become of the callback since.

    None when the key is new. Raises UnprocessableContentError when it was used for another request.
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
    """Keep what a request is answered, and the callback it is answered with.

    ``callback``: what it asked for. ``repeats``: by a visitor who was answered with that one before.
    """
    kept = _kept(request_key, callback_id, answer, callback.created_at)
    connection.execute(_REMEMBER, kept | {"client_bucket": callback.client_bucket if repeats else None})


def remember_alias(connection: Connection, callback: Callback, standing_id: str, answer: AcceptResult) -> None:
    """Let the id of a callback that is not stored lead to the one that stands for it."""
    kept = _kept(RequestKey(ALIAS, callback.id, ""), standing_id, answer, callback.created_at)
    who = {name: getattr(callback, name) for name in CLIENT_BUCKETS}
    place = {"call_expected_at": callback.call_expected_at if stands_in_line(callback) else None}
    # When this work runs again, another callback may stand by then.
    written = upsert.insert(connection, request_keys)
    again = written.on_conflict_do_update(index_elements=["scope", "key"], set_={"callback_id": standing_id})
    connection.execute(again, kept | who | place)


def alias_of(callback: Callback, standing: Row[*tuple[Any, ...]]) -> AcceptResult | None:
    """Give what the visitor of a callback was answered when he first asked for what stands; None if he didn't.

    ``standing``: selected with KNOWN_AS.
    """
    if standing.alias_answer is None:
        return None
    kept = _accepted(standing.alias_answer)
    if kept.id == callback.id:  # this work runs again
        return kept
    return replace(kept, status=public_status(_told(standing, standing.alias_at, callback.created_at)), duplicate=True)


def check_room(connection: Connection, callback: Callback, standing_id: str) -> None:
    """Raise TooManyRequestsError when a visitor repeats the request too often: it rings nobody, but it is stored.

    Only his own repetitions count, or he would learn of those of others.
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
    """Select the id of the callback that an id leads to which a stranger was given for it."""
    keys = request_keys.c
    return select(keys.callback_id).where(_IS_ALIAS, keys.key == callback_id)


def glimpse(connection: Connection, callback_id: str, now: datetime | None) -> CallbackStatus | None:
    """Give where a callback is in its life; also by an id that a stranger was given for it. None when there is none.

    ``now``: as a stranger may see it, who may still have to be told about held ones as `shown` does; None: as it is.
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
    # The time that was told with this id: another one would tell that the number was asked for before.
    return CallbackStatus(callback_id, row.site, status, _accepted(row.answer).call_expected_at)


def _told(standing: Row[*tuple[Any, ...]], asked_at: datetime, now: datetime) -> str:
    """Give the status that a stranger is told, who asked at a time: not before it could have been that of his own.

    His is queued for as long as the one that stands took to get where it is: one that was delivered in the moment
    in which it was accepted would tell that it is older. For a minute at most, for it is not the truth.
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
