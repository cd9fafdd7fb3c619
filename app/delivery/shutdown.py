"""The end of the service: told once, heard by all who work, with the time that has passed since."""

import asyncio
import contextlib
import time


class Ending:
    """May be made before there is an event loop; everything else belongs onto it."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self._since = 0.0

    @property
    def told(self) -> bool:
        """Tell whether the service ends."""
        return self._told.is_set()

    def tell(self) -> None:
        """Begin the end; a second time changes nothing."""
        if not self.told:
            self._since = time.monotonic()
            self._told.set()

    def left(self, seconds: float) -> float:
        """Give what is left of so many seconds since the end began, at least 0."""
        return max(0.0, self._since + seconds - time.monotonic()) if self.told else seconds

    async def within(self, seconds: float) -> None:
        """Return when the end begins, or after some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
