"""One look at something slow at a time, shared by all who ask meanwhile, and its answer kept for a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedLook(Generic[T]):
    """Belongs to one event loop. A look that fails fails for all who share it, and the next who asks begins another."""

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        """``look`` finds the answer."""
        self._look = look
        self._task: asyncio.Task[tuple[T, float]] | None = None

    async def answer(self, fresh: float) -> T:
        """Give the answer of a look that ended at most ``fresh`` seconds ago, or of one that ends now.

        Whoever goes away takes nothing from the others. Raises what the look raises.
        """
        task = self._task
        if task is None or (task.done() and not _is_fresh(task, fresh)):
            task = self._task = asyncio.create_task(self._timed())
            task.add_done_callback(_failed)  # it is told to whoever still waits, and else to nobody
        found, _ = await asyncio.shield(task)
        return found

    def forget(self) -> None:
        """Let what was asked so far count for those alone who have asked, also where the look is still under way."""
        self._task = None

    async def _timed(self) -> tuple[T, float]:
        return await self._look(), time.monotonic()


def _failed(task: "asyncio.Task[tuple[T, float]]") -> bool:
    return task.cancelled() or task.exception() is not None


def _is_fresh(task: "asyncio.Task[tuple[T, float]]", fresh: float) -> bool:
    return not _failed(task) and time.monotonic() < task.result()[1] + fresh
