"""A clock that can be set, so that a night can be had at noon."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Tells the simulator's time. It follows the real clock until it is set; it can also be stopped.

    `real` gives the real time in unix seconds; tests may pass their own.
    """

    def __init__(self, real: Callable[[], float] = time.time) -> None:
        self._real = real
        self._offset = 0.0
        self._stopped_at: float | None = None

    def now(self) -> datetime:
        """Tell the simulator's time, in UTC."""
        seconds = self._real() + self._offset if self._stopped_at is None else self._stopped_at
        return datetime.fromtimestamp(seconds, UTC)

    @property
    def frozen(self) -> bool:
        """Whether the clock stands still."""
        return self._stopped_at is not None

    @property
    def is_real(self) -> bool:
        """Whether the clock shows the real time."""
        return self._stopped_at is None and self._offset == 0.0

    def set(self, moment: datetime, *, frozen: bool = False) -> None:
        """Set the clock to `moment` (with a time zone) and let it run on from there, or stand still."""
        self._offset = moment.timestamp() - self._real()
        self._stopped_at = moment.timestamp() if frozen else None

    def advance(self, seconds: float) -> None:
        """Move the clock by so many seconds; a clock that stands still keeps standing."""
        self.set(self.now() + timedelta(seconds=seconds), frozen=self.frozen)

    def follow_real_time(self) -> None:
        """Show the real time again."""
        self._offset = 0.0
        self._stopped_at = None
