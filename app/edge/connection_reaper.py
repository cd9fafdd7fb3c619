"""Connections whose client has not finished sending or reading, with their deadlines."""

import asyncio
from collections import defaultdict
from itertools import islice
from typing import Final, Protocol

TIME_TO_SEND: Final = 7.0
"""Seconds for a whole request with its body. They start when the connection is made, on a keep-alive connection with
the request's first byte. A client that reads a response has to read at least a part of it in every such period."""
MOST_WAITING: Final = 500
"""Connections that may wait at one time. Each stores at most a head and a body."""
_SWEEP = 0.025  # seconds between two checks of the deadlines
_MOST_ENDED = 25  # connections closed by one check, so that honest requests are served in between


class Debtor(Protocol):
    """A connection that can be closed when it misses its deadline."""

    neighbourhood: str
    """The key of its address's narrowest bucket; see client_address.py."""

    def end(self) -> None:
        """Handle a missed deadline."""

    def drop(self) -> None:
        """Close without a response, because too many connections wait."""


class Waiting:
    """Waiting connections with a deadline of `seconds` each, oldest first.

    Beyond `most`, the network with most waiting connections loses its oldest one. An honest client's request arrives
    a moment after its connection, so a flood evicts idle connections, and its own first.
    """

    def __init__(self, *, seconds: float = TIME_TO_SEND, most: int = MOST_WAITING) -> None:
        self._seconds = seconds
        self._most = most
        self._since: dict[Debtor, float] = {}
        self._near: defaultdict[str, dict[Debtor, None]] = defaultdict(dict)
        self._sweeper: asyncio.TimerHandle | None = None

    def add(self, debtor: Debtor) -> None:
        """Start the deadline of a connection that has none. Evict one connection if there are too many."""
        loop = asyncio.get_running_loop()
        self._since.setdefault(debtor, loop.time())
        self._near[debtor.neighbourhood][debtor] = None
        if len(self._since) > self._most:
            crowd = max(self._near.values(), key=len)
            next(iter(crowd)).drop()
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP, self._sweep, loop)

    def remove(self, debtor: Debtor) -> None:
        """Stop the deadline of a connection; one without a deadline is ignored."""
        if self._since.pop(debtor, None) is not None:
            del self._near[debtor.neighbourhood][debtor]
            if not self._near[debtor.neighbourhood]:
                del self._near[debtor.neighbourhood]

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        late = loop.time() - self._seconds
        for debtor, since in list(islice(self._since.items(), _MOST_ENDED)):
            if since > late:
                break
            debtor.end()
        self._sweeper = loop.call_later(_SWEEP, self._sweep, loop) if self._since else None
