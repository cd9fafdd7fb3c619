"""How fast a backlog is drained: so many calls in a second, wherever it begins. Pure; the time is passed in."""

from collections import deque

_SECOND = 1.0


class SlidingWindowLimiter:
    """At most ``rate`` calls begin within any one second. After a rest they may begin all at once."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._begun: deque[float] = deque()  # when each call of the last second began
        self._looked_at = 0.0

    def available(self, now: float) -> int:
        """Give how many calls may begin at ``now``, in seconds of a clock that never goes back."""
        self._looked_at = now
        while self._begun and now - self._begun[0] >= _SECOND:
            self._begun.popleft()
        return max(0, self._rate - len(self._begun))

    def consume(self, calls: int, now: float) -> None:
        """Count calls that begin at ``now``."""
        self._begun.extend([now] * calls)

    @property
    def retry_after(self) -> float:
        """Seconds until the next call may begin, counted from the last look."""
        if len(self._begun) < self._rate:
            return 0.0
        return self._begun[-self._rate] + _SECOND - self._looked_at
