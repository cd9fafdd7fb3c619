"""The releases of the widget: the current one, and earlier ones for pages that hold an earlier loader."""

import logging
from contextlib import suppress
from datetime import datetime
from functools import partial

from async_lru import alru_cache
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
        self._save = alru_cache(maxsize=1, key=lambda *_: None)(Outbox.write)
        self._read = alru_cache(maxsize=1, ttl=_MIN_INTERVAL)(Outbox.read)
        self._load = alru_cache(maxsize=_MAX_CACHED)(_load)

    async def save_current(self, outbox: Outbox, now: datetime) -> None:
        """Save the current release once. Otherwise pages with its loader would break after the next update."""
        work = partial(save, version=self.current.version, bodies=self.current.bodies(), now=now)
        with suppress(UnavailableError):  # errors are not cached: the next request for the loader tries again
            await self._save(outbox, work)

    async def find(self, version: str, outbox: Outbox) -> Release | None:
        """Return a release by its version, None for an unknown one. Raises UnavailableError without the database."""
        if version == self.current.version:
            return self.current
        if self._load.cache_contains(outbox, version) or version in await self._read(outbox, release_versions):
            return await self._load(outbox, version)
        return None


async def _load(outbox: Outbox, version: str) -> Release | None:
    """Load a stored release; return None if its files differ from its version.

    Otherwise a person with write access to the database could run a script on every page with an earlier loader.
    """
    bodies = await outbox.read(partial(load, version=version))
    if is_genuine(version, bodies):
        return await run_in_threadpool(make_release, version, bodies)
    event(log, "widget.release_altered", logging.ERROR, version=version)
    return None
