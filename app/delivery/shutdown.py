"""The service's shutdown: requested once, observed by every task, with the time elapsed since."""

import asyncio
import contextlib
import time


class Shutdown:
    """A one-way flag with a deadline. May be created before the event loop; every method belongs on the loop."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._since = 0.0

    @property
    def requested(self) -> bool:
        """Whether the shutdown has been requested."""
        return self._requested.is_set()

    def request(self) -> None:
        """Request the shutdown. A second request changes nothing."""
        if not self.requested:
            self._since = time.monotonic()
            self._requested.set()

    def remaining(self, seconds: float) -> float:
        """Return how much of a timeout is left, counted from the request; at least 0, all of it before the request."""
        return max(0.0, self._since + seconds - time.monotonic()) if self.requested else seconds

    async def wait(self, seconds: float) -> None:
        """Wait until the shutdown is requested, for at most some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._requested.wait()
