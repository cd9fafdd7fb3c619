"""Reads GET /metrics."""

from collections import Counter

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.running import AUTHORIZED, Service


class Samples(Counter[str]):
    """Values by series: name and labels in Prometheus' notation, labels sorted by name. 0 for a missing series.

    `samples - before` contains the series that have increased since.
    """

    def labels(self, name: str) -> set[str]:
        """Return the labels of all series of one name, in Prometheus' notation."""
        return {series.removeprefix(name) for series in self if series.partition("{")[0] == name}


def read(answer: httpx2.Response) -> Samples:
    """Parse a response of GET /metrics."""
    assert answer.status_code == 200, answer.text
    samples = Samples()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            series = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert series not in samples, "duplicate series"
            samples[series] = sample.value  # type: ignore[assignment]
    return samples


def scrape(here: Service) -> Samples:
    """Scrape the metrics with an API key, as Prometheus does."""
    return read(here.http.get("/metrics", headers=AUTHORIZED))


def grown(here: Service, before: Samples) -> dict[str, float]:
    """Return the increase of our counters since `before`, including the requests of this scrape."""
    now = scrape(here)
    return {
        series.removeprefix("chaser_callback_"): value - before[series]
        for series, value in now.items()
        if series.startswith("chaser_callback_") and "_total" in series and value != before[series]
    }
