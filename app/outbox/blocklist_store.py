"""The blocklist: phones that are never called, and addresses and networks that are refused.

It is stored, so it holds over replicas and restarts, and checked in memory: a change by another process takes effect
within FRESH seconds and the time of one read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Final

from sqlalchemy import Connection, delete, select, text

from app.errors import ForbiddenError
from app.outbox import upsert
from app.outbox.callback import Status
from app.outbox.schema import blocklist, callbacks
from app.outbox.transitions import transition

FRESH: Final = 2.0
"""Maximum age of the copy in memory, in seconds."""

# From the blocklist to the phones: the queue may be far longer. For an ordinary join SQLite would read all callbacks
# every second, and COALESCE keeps PostgreSQL from reading the whole queue.
_WAITING: Final = text(
    "SELECT c.id FROM blocklist AS b CROSS JOIN callbacks AS c "
    "WHERE c.client_phone = b.entry AND COALESCE(c.due_at, c.due_at) IS NOT NULL"
).columns(callbacks.c.id)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `entry`: a phone in digits, or a network in CIDR notation; a single address is a /32 or a /128."""

    entry: str = field(repr=False)
    note: str | None = field(repr=False)
    created_at: datetime


class Blocked:
    """An index of the entries. A look-up takes constant time."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._phones = set()
        # Network numbers by IP version and shift; few prefix lengths are in use.
        self._networks: dict[tuple[int, int], set[int]] = {}
        for entry in entries:
            if "/" in entry:
                network = ip_network(entry)
                same = self._networks.setdefault((network.version, network.max_prefixlen - network.prefixlen), set())
                same.add(int(network.network_address) >> (network.max_prefixlen - network.prefixlen))
            else:
                self._phones.add(entry)

    def phone(self, client_phone: str) -> bool:
        """Return whether a phone, in digits, is blocked."""
        return client_phone in self._phones

    def address(self, client_ip: str) -> bool:
        """Return whether an address lies in a blocked network."""
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
    """Return the error for a blocked phone or address, the same for both: it must not reveal which one it was."""
    return ForbiddenError("blocked", "This request can't be taken. Please contact us in another way.")


def add(connection: Connection, entry: str, note: str | None, now: datetime) -> datetime:
    """Insert an entry and return its date; an existing one keeps its date and gets the new note.

    Callbacks waiting for a blocked phone are cancelled. A call in flight can't be undone. Held ones stay held: they
    ring nobody, and their visitors must not learn that the phone is blocked.
    """
    written = upsert.insert(connection, blocklist).values(entry=entry, note=note, created_at=now)
    renoted = written.on_conflict_do_update(index_elements=["entry"], set_={"note": note})
    since: datetime = connection.execute(renoted.returning(blocklist.c.created_at)).scalar_one()
    cancel_waiting(connection, now)
    return since


def cancel_waiting(connection: Connection, now: datetime) -> None:
    """Cancel callbacks that wait for a blocked phone; repeated, as an attempt may end after the blocking."""
    ids = connection.scalars(_WAITING).all()
    if ids:
        transition(connection, callbacks.c.id.in_(ids), Status.CANCELLED, reason="blocked", now=now)


def remove(connection: Connection, entry: str) -> bool:
    """Delete an entry; return False if there is none."""
    return connection.execute(delete(blocklist).where(blocklist.c.entry == entry)).rowcount == 1


def blocked(connection: Connection) -> Blocked:
    """Return an index of all entries. A long list takes a while to build: not on the event loop."""
    return Blocked(connection.scalars(select(blocklist.c.entry)))


def entries(connection: Connection) -> list[Entry]:
    """Return all entries, the newest first."""
    rows = connection.execute(select(blocklist).order_by(blocklist.c.created_at.desc(), blocklist.c.entry))
    return [Entry(row.entry, row.note, row.created_at) for row in rows]
