"""The blocklist: phones that are never called, and addresses and networks that are not listened to.

It is stored, so it holds over replicas and restarts, and looked at in memory: what another process changes is seen
within FRESH seconds, and what it takes to read them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any, Final

from sqlalchemy import Connection, delete, func, literal, select, update

from app.errors import ForbiddenError
from app.outbox import upsert
from app.outbox.callback import Status
from app.outbox.plans import are_few, unindexed
from app.outbox.schema import blocklist, callbacks

FRESH: Final = 2.0
"""Seconds for which a process goes by what it has read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``entry``: a phone in digits, or a network in CIDR notation, a single address too ("203.0.113.7/32")."""

    entry: str = field(repr=False)
    note: str | None = field(repr=False)
    created_at: datetime


class Blocked:
    """The entries, ready to be asked. A look costs the same however many there are."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._phones = set()
        # By version and length of the prefix, which are few: the networks as numbers.
        self._networks: dict[tuple[int, int], set[int]] = {}
        for entry in entries:
            if "/" in entry:
                network = ip_network(entry)
                same = self._networks.setdefault((network.version, network.max_prefixlen - network.prefixlen), set())
                same.add(int(network.network_address) >> (network.max_prefixlen - network.prefixlen))
            else:
                self._phones.add(entry)

    def phone(self, client_phone: str) -> bool:
        """Tell whether a phone, in digits, is blocked."""
        return client_phone in self._phones

    def address(self, client_ip: str) -> bool:
        """Tell whether an address lies in a blocked network."""
        if not self._networks:
            return False
        address = ip_address(client_ip)
        number = int(address)
        return any(
            number >> shift in numbers
            for (version, shift), numbers in self._networks.items()
            if version == address.version
        )


def refusal() -> ForbiddenError:
    """Give the one answer for a blocked phone and for a blocked address, so that nobody learns which of them it is."""
    return ForbiddenError("blocked", "This request can't be taken. Please contact us in another way.")


def add(connection: Connection, entry: str, note: str | None, now: datetime) -> datetime:
    """Write an entry down, and give its date; one that is there keeps it, and gets the new note.

    What waits to be sent to a blocked phone is cancelled. A call that is being made can't be called back.
    """
    written = upsert.insert(connection, blocklist).values(entry=entry, note=note, created_at=now)
    renoted = written.on_conflict_do_update(index_elements=["entry"], set_={"note": note})
    since: datetime = connection.execute(renoted.returning(blocklist.c.created_at)).scalar_one()
    held = (callbacks.c.status == Status.HELD) & (callbacks.c.client_phone == entry)
    connection.execute(update(callbacks).where(held).values(_cancelled(now)))
    cancel_waiting(connection, now)
    return since


def cancel_waiting(connection: Connection, now: datetime) -> None:
    """Cancel what waits for a blocked phone; asked again and again, since a try may end after the blocking."""
    if _any_waits(connection):
        waiting = callbacks.c.due_at.is_not(None) & callbacks.c.client_phone.in_(select(blocklist.c.entry))
        connection.execute(update(callbacks).where(waiting).values(_cancelled(now)))


def _any_waits(connection: Connection) -> bool:
    """Tell whether something waits for a blocked phone: asked of what waits when that is little, else of the phones."""
    waits = callbacks.c.due_at.is_not(None)
    if are_few(connection, waits):
        blocked_too = unindexed(callbacks.c.client_phone).in_(select(blocklist.c.entry))
        found = select(literal(1)).select_from(callbacks).where(waits, blocked_too)
    else:
        # Counted for each phone, since PostgreSQL would turn an EXISTS into a way along all that waits.
        of_it = select(func.count()).where(callbacks.c.client_phone == blocklist.c.entry, waits).scalar_subquery()
        found = select(literal(1)).select_from(blocklist).where(of_it > 0)
    return connection.scalar(found.limit(1)) is not None


def _cancelled(now: datetime) -> dict[str, Any]:
    return {"status": Status.CANCELLED, "due_at": None, "reason": "blocked", "updated_at": now}


def remove(connection: Connection, entry: str) -> bool:
    """Take an entry out; False when there is none."""
    return connection.execute(delete(blocklist).where(blocklist.c.entry == entry)).rowcount == 1


def blocked(connection: Connection) -> Blocked:
    """Read all of them, ready to be asked. Long lists take a while to prepare: not for the event loop."""
    return Blocked(connection.scalars(select(blocklist.c.entry)))


def entries(connection: Connection) -> list[Entry]:
    """Give all of them, the newest first."""
    rows = connection.execute(select(blocklist).order_by(blocklist.c.created_at.desc(), blocklist.c.entry))
    return [Entry(row.entry, row.note, row.created_at) for row in rows]
