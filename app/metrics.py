"""What is counted for Prometheus: one value, made by main.py and passed to whoever has something to count.

Counting is a look into a dictionary and an addition, and raises nothing. Labels are names from the settings and our own
constants, never a caller's text, so there are only so many series however many requests come. docs/metrics.md tells
what each metric means, and which of them all replicas tell alike.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final, Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from app.errors import FieldError
from app.version import VERSION

FORMER: Final = "(former)"
"""The name under which all sites are counted that the settings no longer know. No site can have it."""
BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
"""Seconds. An ordinary callback takes less than one; the longest GIVE_UP_AFTER is a week."""
_ALARMING: Final = ("quota_site", "storage_unavailable", "storage_unavailable", "internal")
"""Refusals that docs/alerts.yml watches for."""

Result = Literal["new", "held", "duplicate", "replayed"]

# A second series for each of ours would tell nothing that the start of the process doesn't.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Belongs to one application; ``registry`` holds what it tells."""

    def __init__(self, sites: Collection[str] = (), outcomes: Collection[str] = ()) -> None:
        """Begin at zero for each of these ``sites`` and ``outcomes`` of attempts.

        A counter that isn't there before its first event hides that event from ``increase()``.
        """
        self.registry = registry = CollectorRegistry()
        self._sites = frozenset(sites)

        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(f"chaser_callback_{name}", documentation, labels, registry=registry)

        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(f"chaser_callback_{name}", documentation, labels, registry=registry)

        self._accepted = counter(
            "accepted",
            "Requests answered with 202; held, duplicate and replayed ones begin no call of their own.",
            "site",
            "result",
        )
        self._refused = counter("refused", "Requests refused, by the stable code of the answer.", "code")
        self._fields = counter("field_errors", "Fields that were wrong in refused requests.", "field", "code")
        self._dropped = counter("connections_dropped", "Connections ended without an answer: idle, or too many.")
        self._attempts = counter("attempts", "Calls to Chaser, by what they came to.", "site", "outcome")
        self._placed = counter("placed", "Callbacks that Chaser has taken.", "site")
        self._expired = counter("expired", "Callbacks that failed because they became older than GIVE_UP_AFTER.")
        self._waited = Histogram(
            "chaser_callback_delivery_latency_seconds",
            "From the acceptance, or a person's release or retry, until Chaser had taken the callback.",
            ("site",),
            registry=registry,
            buckets=BUCKETS,
        )
        self._circuit_open = gauge(
            "circuit_open",
            "Scope site: 1 while nothing is sent for the site. Scope account: number of accounts Chaser refuses.",
            "scope",
            "site",
        )
        self._running = gauge("worker_up", "1 while this process takes callbacks from the queue.")
        self._database = gauge("database_up", "1 if the last queue query succeeded.")
        self._queue = gauge("queue_depth", "Callbacks in the database that are not at their end.", "status")
        self._oldest = gauge("queue_oldest_seconds", "How long the oldest of them has waited; 0 for none.", "status")
        Info("chaser_callback_build", "The version that runs.", registry=registry).info({"version": VERSION})
        for code in _ALARMING:
            self._refused.labels(code)
        for site in sites:
            for result in get_args(Result):
                self._accepted.labels(site, result)
            for outcome in outcomes:
                self._attempts.labels(site, outcome)
            self._placed.labels(site)
            self._waited.labels(site)
        PlatformCollector(registry)
        ProcessCollector(registry=registry)
        GCCollector(registry)

    def accepted(self, site: str, result: Result) -> None:
        """Count a request that was answered with 202."""
        self._accepted.labels(self._site(site), result).inc()

    def refused(self, code: str, errors: Sequence[FieldError] = ()) -> None:
        """Count a refusal."""
        self._refused.labels(code).inc()
        for error in errors:
            self._fields.labels(error.field, error.code).inc()

    def dropped(self) -> None:
        """Count a connection that was ended without a word."""
        self._dropped.inc()

    def attempted(self, site: str, outcome: str) -> None:
        """Count an attempt whose outcome is written down."""
        self._attempts.labels(self._site(site), outcome).inc()

    def placed(self, site: str, waited: timedelta) -> None:
        """Count a callback that Chaser has. ``waited``: since when it could have been sent."""
        known = self._site(site)
        self._placed.labels(known).inc()
        self._waited.labels(known).observe(max(0.0, waited.total_seconds()))

    def expired(self, callbacks: int = 1) -> None:
        """Count callbacks that became too old."""
        self._expired.inc(callbacks)

    def show_delivery(self, *, running: bool, paused: Mapping[str, bool], accounts: int) -> None:
        """Set how the delivery stands: ``paused`` by site, and how many ``accounts`` are."""
        self._running.set(running)
        self._circuit_open.labels("account", "").set(accounts)
        for site, is_paused in paused.items():
            self._circuit_open.labels("site", site).set(is_paused)

    def show_queue(self, queue: Mapping[str, tuple[int, timedelta]] | None) -> None:
        """Set by state how many there are and how old the oldest is; None: nobody knows, and nothing is shown."""
        self._database.set(queue is not None)
        for shown in (self._queue, self._oldest):
            shown.clear()
        for state, (count, age) in (queue or {}).items():
            self._queue.labels(state).set(count)
            self._oldest.labels(state).set(max(0.0, age.total_seconds()))

    def _site(self, name: str) -> str:
        return name if name in self._sites else FORMER
