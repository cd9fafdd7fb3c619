"""Rate limit of calls to Chaser, over a sliding window of one second. Pure: the time is passed in."""

from collections import deque

_WINDOW = 1.0  # seconds


class SlidingWindowLimiter:
    """Allows at most `rate` calls to start within any one second. After an idle second all may start at once."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._starts: deque[float] = deque()  # start times of the calls in the window

    def available(self, now: float) -> int:
        """Return how many calls may start at `now`, in seconds of a monotonic clock; at least 0."""
        while self._starts and now - self._starts[0] >= _WINDOW:
            self._starts.popleft()
        return max(0, self._rate - len(self._starts))

    def consume(self, calls: int, now: float) -> None:
        """Count calls that start at `now`."""
        self._starts.extend([now] * calls)

    def retry_after(self, now: float) -> float:
        """Return the seconds from `now` until the next call may start, at least 0."""
        if len(self._starts) < self._rate:
            return 0.0
        return max(0.0, self._starts[-self._rate] + _WINDOW - now)
