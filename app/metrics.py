"""Prometheus metrics. main.py creates one Metrics object and passes it to every component that counts.

Counting costs a dictionary lookup and an addition, and raises nothing. Labels are names from the settings and our own
constants, never a caller's text, so the number of series is bounded. docs/metrics.md describes each metric, and says
which of them have the same value in all replicas.
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
"""Label of all sites that are no longer in the settings. No site can have this name."""
BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
"""Seconds. Most callbacks take less than one; the largest GIVE_UP_AFTER is a week."""
_ALERTING_CODES: Final = ("quota_site", "storage_unavailable", "internal")
"""Error codes that docs/alerts.yml alerts on."""

Result = Literal["new", "held", "duplicate", "replayed"]

# The `_created` series would only repeat the start time of the process.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one application, collected by `registry`."""

    def __init__(self, sites: Collection[str] = (), outcomes: Collection[str] = ()) -> None:
        """Create the metrics, with counters at zero for these `sites` and `outcomes` of attempts.

        Otherwise a counter would appear with its first event, and `increase()` would miss that event.
        """
        self.registry = registry = CollectorRegistry()
        self._sites = frozenset(sites)

        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(f"chaser_callback_{name}", documentation, labels, registry=registry)

        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(f"chaser_callback_{name}", documentation, labels, registry=registry)

        self._accepted = counter(
            "accepted",
            "Requests answered with 202; held, duplicate and replayed ones start no call of their own.",
            "site",
            "result",
        )
        self._refused = counter("refused", "Requests refused, by the stable error code of the response.", "code")
        self._fields = counter("field_errors", "Invalid fields in refused requests.", "field", "code")
        self._dropped = counter("connections_dropped", "Connections closed without a response: idle, or too many.")
        self._attempts = counter("attempts", "Calls to Chaser, by outcome.", "site", "outcome")
        self._placed = counter("placed", "Callbacks that Chaser has accepted.", "site")
        self._expired = counter("expired", "Callbacks that failed because they were older than GIVE_UP_AFTER.")
        self._latency = Histogram(
            "chaser_callback_delivery_latency_seconds",
            "Seconds from acceptance, or an operator's release or retry, until Chaser accepted the callback.",
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
        self._running = gauge("worker_up", "1 while this process claims callbacks from the queue.")
        self._database = gauge("database_up", "1 if the last queue query succeeded.")
        self._queue = gauge("queue_depth", "Callbacks in the database without a final status.", "status")
        self._oldest = gauge(
            "queue_oldest_seconds", "Age of the oldest of them in seconds; 0 if there is none.", "status"
        )
        Info("chaser_callback_build", "Version of the running service.", registry=registry).info({"version": VERSION})
        for code in _ALERTING_CODES:
            self._refused.labels(code)
        for site in sites:
            for result in get_args(Result):
                self._accepted.labels(site, result)
            for outcome in outcomes:
                self._attempts.labels(site, outcome)
            self._placed.labels(site)
            self._latency.labels(site)
        PlatformCollector(registry)
        ProcessCollector(registry=registry)
        GCCollector(registry)

    def accepted(self, site: str, result: Result) -> None:
        """Count a request that was answered with 202."""
        self._accepted.labels(self._site(site), result).inc()

    def refused(self, code: str, errors: Sequence[FieldError] = ()) -> None:
        """Count a refused request and its invalid fields."""
        self._refused.labels(code).inc()
        for error in errors:
            self._fields.labels(error.field, error.code).inc()

    def dropped(self) -> None:
        """Count a connection that was closed without a response."""
        self._dropped.inc()

    def attempted(self, site: str, outcome: str) -> None:
        """Count an attempt whose result is stored."""
        self._attempts.labels(self._site(site), outcome).inc()

    def placed(self, site: str, latency: timedelta) -> None:
        """Count a callback that Chaser accepted. `latency`: since it could first have been sent."""
        label = self._site(site)
        self._placed.labels(label).inc()
        self._latency.labels(label).observe(max(0.0, latency.total_seconds()))

    def expired(self, callbacks: int = 1) -> None:
        """Count callbacks that expired."""
        self._expired.inc(callbacks)

    def show_delivery(self, *, running: bool, paused: Mapping[str, bool], accounts: int) -> None:
        """Set the gauges of delivery. `paused`: by site; `accounts`: the number of accounts with an open circuit."""
        self._running.set(running)
        self._circuit_open.labels("account", "").set(accounts)
        for site, is_paused in paused.items():
            self._circuit_open.labels("site", site).set(is_paused)

    def show_queue(self, queue: Mapping[str, tuple[int, timedelta]] | None) -> None:
        """Set the number of callbacks and the age of the oldest, by status. None: the query failed, show no values."""
        self._database.set(queue is not None)
        for gauge in (self._queue, self._oldest):
            gauge.clear()
        for status, (count, age) in (queue or {}).items():
            self._queue.labels(status).set(count)
            self._oldest.labels(status).set(max(0.0, age.total_seconds()))

    def _site(self, name: str) -> str:
        return name if name in self._sites else FORMER
