"""A single-flight cache: concurrent callers share one load, and its value is kept for a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedLook(Generic[T]):
    """Caches one value on one event loop.

    If a load fails, it fails for all callers that share it. The next caller starts another.
    """

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        """Use `look` to load the value."""
        self._look = look
        self._task: asyncio.Task[tuple[T, float]] | None = None

    async def answer(self, fresh: float) -> T:
        """Return a value that was loaded at most `fresh` seconds ago, or load it.

        Cancelling one caller doesn't cancel the load for the others. Raises the error of the load.
        """
        task = self._task
        if task is None or (task.done() and not _is_fresh(task, fresh)):
            task = self._task = asyncio.create_task(self._timed())
            task.add_done_callback(_failed)  # retrieves the exception: asyncio would log it if no caller is left
        value, _ = await asyncio.shield(task)
        return value

    def forget(self) -> None:
        """Invalidate the value. Callers already waiting still get the old one; later callers trigger a new load."""
        self._task = None

    async def _timed(self) -> tuple[T, float]:
        return await self._look(), time.monotonic()


def _failed(task: "asyncio.Task[tuple[T, float]]") -> bool:
    return task.cancelled() or task.exception() is not None


def _is_fresh(task: "asyncio.Task[tuple[T, float]]", fresh: float) -> bool:
    return not _failed(task) and time.monotonic() < task.result()[1] + fresh
