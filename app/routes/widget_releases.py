"""The releases of the widget: the current one, and earlier ones for pages that hold an earlier loader."""

import asyncio
import logging
import time
from datetime import datetime
from functools import partial

from cachetools import LRUCache
from starlette.concurrency import run_in_threadpool

from app.errors import UnavailableError
from app.logs import event
from app.outbox.outbox import Outbox
from app.outbox.widget_release_store import load, release_versions, save
from app.routes.widget_files import Release, is_genuine, make_release

log = logging.getLogger(__name__)

_MAX_CACHED = 64  # releases
_MIN_INTERVAL = 1.0  # seconds between two queries for the known versions


class Releases:
    """The current release, and earlier ones from the database with a cache in memory.

    Requests for unknown versions cost at most one database query a second: many clients may send them at once.
    """

    def __init__(self, current: Release) -> None:
        self.current = current
        self._is_saved = False
        self._versions: frozenset[str] = frozenset()
        self._queried_at = float("-inf")
        self._querying = asyncio.Lock()
        self._cache: LRUCache[str, Release | None] = LRUCache(_MAX_CACHED)

    async def save_current(self, outbox: Outbox, now: datetime) -> None:
        """Save the current release once. Otherwise pages with its loader would break after the next update."""
        if self._is_saved:
            return
        self._is_saved = True
        try:
            await outbox.write(partial(save, version=self.current.version, bodies=self.current.bodies(), now=now))
        except UnavailableError:
            self._is_saved = False  # the next request for the loader tries again

    async def find(self, version: str, outbox: Outbox) -> Release | None:
        """Return a release by its version, None for an unknown one. Raises UnavailableError without the database.

        Stored files that differ from their version are treated as unknown. Otherwise a person with write access to the
        database could run a script on every page that holds an earlier loader.
        """
        if version == self.current.version:
            return self.current
        if version not in self._versions:
            await self._refresh_versions(outbox)
        if version not in self._versions:
            return None
        if version not in self._cache:
            bodies = await outbox.read(partial(load, version=version))
            genuine = is_genuine(version, bodies)
            if not genuine:
                event(log, "widget.release_altered", logging.ERROR, version=version)
            self._cache[version] = await run_in_threadpool(make_release, version, bodies) if genuine else None
        return self._cache[version]

    async def _refresh_versions(self, outbox: Outbox) -> None:
        """Read the known versions from the database: another process may have saved a newer one."""
        async with self._querying:
            if time.monotonic() - self._queried_at >= _MIN_INTERVAL:
                self._versions = await outbox.read(release_versions)
                self._queried_at = time.monotonic()
