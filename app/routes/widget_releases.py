"""Which release of the widget a page gets: today's, or the earlier one its loader belongs to."""

import asyncio
import time
from collections import OrderedDict
from datetime import datetime

from starlette.concurrency import run_in_threadpool

from app.errors import UnavailableError
from app.outbox.outbox import Outbox
from app.routes.widget_files import Release, make_release

_MOST = 64
_PAUSE = 1.0


class Releases:
    """Today's release, and earlier ones as the database kept them; those that were asked for stay in memory.

    Whoever asks for versions that never were costs no more than one look into the database a second: files are under
    no flood limit.
    """

    def __init__(self, today: Release) -> None:
        self.today = today
        self._is_kept = False
        self._versions: frozenset[str] = frozenset()
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self._earlier: OrderedDict[str, Release] = OrderedDict()

    async def keep(self, outbox: Outbox, now: datetime) -> None:
        """Write today's release down, once: pages that got its loader may ask for the rest after the next update."""
        if self._is_kept:
            return
        self._is_kept = True
        try:
            await outbox.save_release(self.today.version, self.today.bodies(), now)
        except UnavailableError:
            self._is_kept = False  # the next page that loads it brings the next try

    async def find(self, version: str, outbox: Outbox) -> Release | None:
        """Give a release by its version, None if nobody has kept it. Raises UnavailableError."""
        if version == self.today.version:
            return self.today
        if version not in self._versions:
            await self._look_again(outbox)
        if version not in self._versions:
            return None
        if version not in self._earlier:
            bodies = await outbox.load_release(version)
            self._earlier[version] = await run_in_threadpool(make_release, version, bodies)
            while len(self._earlier) > _MOST:
                self._earlier.popitem(last=False)
        self._earlier.move_to_end(version)
        return self._earlier[version]

    async def _look_again(self, outbox: Outbox) -> None:
        """Read which versions there are; another process may have kept a newer one than this service is."""
        async with self._looking:
            if time.monotonic() - self._looked_at >= _PAUSE:
                self._versions = await outbox.release_versions()
                self._looked_at = time.monotonic()
