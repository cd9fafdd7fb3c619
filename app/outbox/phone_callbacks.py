"""The callbacks of a phone that decide about one more: what rang, what will ring, and what is held.

Admission, release, retry and the resend of an unknown call read them, all under the lock of the phone.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, Union

from sqlalchemy import Connection, Row, bindparam, text
from sqlalchemy.sql.expression import TextualSelect

from app.outbox import bulk
from app.outbox.callback import Callback, Status
from app.outbox.rings import Limits, Ring
from app.outbox.schema import Instant, attempts, callbacks

_LONGEST_DUPLICATE_WINDOW: Final = timedelta(minutes=10)

Wish = Union[Callback, "PhoneCallback", Row[Any]]
"""What decides when a callback rings: its site, its planned time, and what Chaser does outside working hours."""
RingTime = Callable[[Wish, datetime], Ring]
"""Returns when the call of a wish would ring if it was sent at a time: see `intake.working_hours.ring_time`."""


@dataclass(frozen=True, slots=True)
class PhoneCap:
    """How often a phone may ring, and when a callback rings."""

    limits: Limits
    ring_time: RingTime


@dataclass(slots=True)
class PhoneCallback:
    """A stored callback of a phone, as the decision about another one sees it.

    `route` is the account and the site's number at Chaser. `given` is the manager's phone and the message as an API key
    sent them. `due_at` is when its next attempt is due, None for none. `rings_at` is when its last call rang or the
    time it was accepted for, None while it is held. `rang` are its attempts that rang, may have rung, or are under way.
    """

    id: str
    site: str
    phone: str
    status: Status
    route: tuple[str, int]
    department: str | None
    given: tuple[str | None, str | None]
    by_visitor: bool
    created_at: datetime
    planned_time: datetime | None
    nwt_action: str | None
    call_stack_start_hour: int | None
    call_stack_interval: int | None
    due_at: datetime | None
    rings_at: datetime | None
    call_expected_at: datetime | None
    held_for: str | None = None
    duplicate_of: str | None = None
    again_of: str | None = None
    again_chain: str | None = None
    rang: list[Ring] = field(default_factory=list)

    def next_ring(self, ring_time: RingTime, now: datetime) -> Ring | None:
        """Return when the due attempt rings, were it sent now; None if no attempt is due."""
        return None if self.due_at is None else ring_time(self, now)

    def rings(self, ring_time: RingTime, now: datetime) -> Iterator[Ring]:
        """Yield all rings that count: those that happened, and the one of a due attempt."""
        yield from self.rang
        upcoming = self.next_ring(ring_time, now)
        if upcoming is not None:
            yield upcoming


_COLUMNS: Final = (
    callbacks.c.id,
    callbacks.c.site,
    callbacks.c.client_phone,
    callbacks.c.status,
    callbacks.c.account,
    callbacks.c.chaser_site_id,
    callbacks.c.department,
    callbacks.c.manager_phone,
    callbacks.c.message_on_ring,
    callbacks.c.manager_given,
    callbacks.c.message_given,
    callbacks.c.api_key,
    callbacks.c.created_at,
    callbacks.c.planned_time,
    callbacks.c.nwt_action,
    callbacks.c.call_stack_start_hour,
    callbacks.c.call_stack_interval,
    callbacks.c.due_at,
    callbacks.c.rings_at,
    callbacks.c.call_expected_at,
    callbacks.c.held_for,
    callbacks.c.duplicate_of,
    callbacks.c.again_of,
    callbacks.c.again_chain,
)


def load(
    connection: Connection, phones: Collection[str], now: datetime, limits: Limits, named: Collection[str] = ()
) -> dict[str, PhoneCallback]:
    """Return by id the callbacks of phones that may still decide, and those named with `again`, with their chains.

    `limits` are those of phones: a ring older than their longest window decides nothing.
    """
    parameters = {
        "phones": bulk.values(connection, phones),
        "named": bulk.values(connection, named),
        "oldest": now - max(_LONGEST_DUPLICATE_WINDOW, limits[-1].window),
    }
    found: dict[str, PhoneCallback] = {}
    attempts_seen = set()
    for row in connection.execute(_statement(connection.dialect.name), parameters):
        callback = found.get(row.id)
        if callback is None:
            callback = found[row.id] = _callback(row)
        if row.number is not None and (row.id, row.number) not in attempts_seen:
            attempts_seen.add((row.id, row.number))
            callback.rang.append(Ring(row.attempt_at, row.attempt_until))
    return found


@cache
def _statement(dialect: str) -> TextualSelect:
    """Return the query of `load`. Its branches have an index each; one condition with OR would have none."""
    names = ", ".join(f"c.{column.name}" for column in _COLUMNS)
    select = (
        f"SELECT {names}, a.number, a.rings_at AS attempt_at, a.rings_until AS attempt_until FROM callbacks AS c "
        "LEFT JOIN attempts AS a ON a.callback_id = c.id AND a.rings_at IS NOT NULL "
        "AND (a.outcome IS NULL OR a.outcome IN ('placed', 'unknown'))"
    )
    query = (
        "WITH named AS ("
        f"SELECT c.id FROM callbacks AS c WHERE c.id {bulk.is_any(dialect, 'named')} "
        "UNION SELECT COALESCE(c.again_chain, c.id) FROM callbacks AS c "
        f"WHERE c.id {bulk.is_any(dialect, 'named')}) "
        f"{select} WHERE c.client_phone {bulk.is_any(dialect, 'phones')} AND c.duplicate_of IS NULL "
        "AND (c.due_at IS NOT NULL OR c.lease_until IS NOT NULL OR c.rings_until > :oldest OR c.status = 'held') "
        f"UNION ALL {select} WHERE c.id IN (SELECT id FROM named) "
        f"UNION ALL {select} WHERE c.again_chain IN (SELECT id FROM named)"
    )
    attempt = (
        attempts.c.number,
        attempts.c.rings_at.label("attempt_at"),
        attempts.c.rings_until.label("attempt_until"),
    )
    return text(query).bindparams(bindparam("oldest", type_=Instant())).columns(*_COLUMNS, *attempt)


def _callback(row: Row[Any]) -> PhoneCallback:
    given = (row.manager_phone if row.manager_given else None, row.message_on_ring if row.message_given else None)
    return PhoneCallback(
        id=row.id,
        site=row.site,
        phone=row.client_phone,
        status=Status(row.status),
        route=(row.account, row.chaser_site_id),
        department=row.department,
        given=given,
        by_visitor=row.api_key is None,
        created_at=row.created_at,
        planned_time=row.planned_time,
        nwt_action=row.nwt_action,
        call_stack_start_hour=row.call_stack_start_hour,
        call_stack_interval=row.call_stack_interval,
        due_at=row.due_at,
        rings_at=row.rings_at,
        call_expected_at=row.call_expected_at,
        held_for=row.held_for,
        duplicate_of=row.duplicate_of,
        again_of=row.again_of,
        again_chain=row.again_chain,
    )
