"""The connections that owe us something, and whose time runs: most of a flood is here, and little else."""

import asyncio
from collections import defaultdict
from itertools import islice
from typing import Final, Protocol

TIME_TO_SEND: Final = 7.0
"""Seconds for a whole request, body included, from the connection or from its first byte on a kept one. Of an answer,
something has to be taken in every such time."""
MOST_WAITING: Final = 500
"""Connections that may wait at one time, with no request under way. Each holds at most a head and a body."""
_SWEEP = 0.025  # seconds between looks
_MOST_ENDED = 25  # at one look: honest requests come between them


class Debtor(Protocol):
    """What is waited for."""

    neighbourhood: str
    """The bucket of its address; see client_address.py."""

    def end(self) -> None:
        """End, for its time is over."""

    def drop(self) -> None:
        """End without a word, for there are too many."""


class Waiting:
    """Those that are waited for, the longest waiting first, ``seconds`` each.

    Where there are more than ``most``, the neighbourhood with most of them loses its first: an honest client's request
    is here a moment after its connection, so it is the idle ones that a flood pushes out, and its own first.
    """

    def __init__(self, *, seconds: float = TIME_TO_SEND, most: int = MOST_WAITING) -> None:
        self._seconds = seconds
        self._most = most
        self._since: dict[Debtor, float] = {}
        self._near: defaultdict[str, dict[Debtor, None]] = defaultdict(dict)
        self._sweeper: asyncio.TimerHandle | None = None

    def add(self, debtor: Debtor) -> None:
        """Start its time, unless it runs."""
        loop = asyncio.get_running_loop()
        self._since.setdefault(debtor, loop.time())
        self._near[debtor.neighbourhood][debtor] = None
        if len(self._since) > self._most:
            crowd = max(self._near.values(), key=len)
            next(iter(crowd)).drop()
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP, self._sweep, loop)

    def remove(self, debtor: Debtor) -> None:
        """Take out what owes nothing now, or has ended."""
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
