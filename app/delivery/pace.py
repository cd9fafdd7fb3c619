"""How fast a backlog is drained: a token bucket. Pure; the time is passed in."""


class Pace:
    """At most ``rate`` calls a second on average, and up to one second's worth of them at once after a rest."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate)
        self._tokens = self._most
        self._counted_at: float | None = None

    def allowed(self, now: float) -> int:
        """Give how many calls may begin at ``now``, in seconds of a clock that never goes back."""
        if self._counted_at is not None:
            self._tokens = min(self._most, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now
        return int(self._tokens)

    def spend(self, calls: int) -> None:
        """Count calls that begin."""
        self._tokens -= calls

    @property
    def wait(self) -> float:
        """Seconds until the next call may begin, counted from the last look."""
        return max(0.0, (1 - self._tokens) / self._rate)
