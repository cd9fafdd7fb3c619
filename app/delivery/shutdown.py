"""The end of the service: requested once, heard by all who work, with the time that has passed since."""

import asyncio
import contextlib
import time


class Shutdown:
    """May be made before there is an event loop; everything else belongs onto it."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._since = 0.0

    @property
    def requested(self) -> bool:
        """Tell whether the service ends."""
        return self._requested.is_set()

    def request(self) -> None:
        """Begin the end; a second time changes nothing."""
        if not self.requested:
            self._since = time.monotonic()
            self._requested.set()

    def remaining(self, seconds: float) -> float:
        """Give what is left of so many seconds since the end began, at least 0."""
        return max(0.0, self._since + seconds - time.monotonic()) if self.requested else seconds

    async def wait(self, seconds: float) -> None:
        """Return when the end begins, or after some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._requested.wait()
