"""A clock that can be set, for example to the night, when calls are queued."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """The simulator's clock. It follows the real clock until it is set; it can also be stopped.

    `real` returns the real time in unix seconds; tests can pass their own.
    """

    def __init__(self, real: Callable[[], float] = time.time) -> None:
        self._real = real
        self._offset = 0.0
        self._stopped_at: float | None = None

    def now(self) -> datetime:
        """Return the simulator's time, in UTC."""
        seconds = self._real() + self._offset if self._stopped_at is None else self._stopped_at
        return datetime.fromtimestamp(seconds, UTC)

    @property
    def frozen(self) -> bool:
        """Whether the clock is stopped."""
        return self._stopped_at is not None

    @property
    def is_real(self) -> bool:
        """Whether the clock shows the real time."""
        return self._stopped_at is None and self._offset == 0.0

    def set(self, moment: datetime, *, frozen: bool = False) -> None:
        """Set the clock to `moment` (with a time zone); it runs on from there, or is stopped if `frozen`."""
        self._offset = moment.timestamp() - self._real()
        self._stopped_at = moment.timestamp() if frozen else None

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`; a stopped clock stays stopped."""
        self.set(self.now() + timedelta(seconds=seconds), frozen=self.frozen)

    def follow_real_time(self) -> None:
        """Reset the clock to the real time."""
        self._offset = 0.0
        self._stopped_at = None
